"""The API server's refusals as those of the runtime port."""

import contextlib
from collections.abc import Iterator

from deis_bus.errors import Refused, Transient
from deis_platform.kubernetes import Conflict, Forbidden, NotFound


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """What is in the way just now becomes Transient; what is wrong with the application, or more
    than its quota, Refused 400 in the API server's words. Other faults pass."""
    try:
        yield
    except Forbidden as fault:
        if fault.kind == "terminating":
            raise Transient(fault.detail) from fault
        raise Refused(400, fault.detail, fault.kind) from fault
    except (NotFound, Conflict) as fault:
        # The namespace went away meanwhile, or another writer is as busy as we are.
        raise Transient(fault.detail) from fault
    except Refused as fault:
        if fault.kind == "invalid":
            raise Refused(400, fault.detail, fault.kind) from fault
        raise
