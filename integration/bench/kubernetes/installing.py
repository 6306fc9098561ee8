"""helm install to the first answered request of the API, images already on the node."""

import datetime
import http.client
import json
import threading
import time
from types import TracebackType
from typing import Self

from integration.bench.figures import line
from integration.cluster.errors import ClusterError
from integration.cluster.node import Node
from integration.kubernetes.installed import DOMAIN, NAMESPACE, RELEASE, Installation
from integration.kubernetes.waiting import until

PAUSE_SECONDS = 0.1
LOOK_SECONDS = 1.0
"""Between two looks for the router's address: kubectl costs the machine something."""


class Answers:
    """A thread that asks the API from the start on, and notes when answers began to come."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.began: list[float] = []
        """Seconds since the epoch: each first answer after none, or after the beginning."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more: what is measured next is measured alone."""
        self._stop.set()
        self._thread.join()

    def first_after(self, moment: float) -> float:
        """When the first answer after that moment came, seconds since the epoch."""
        until(lambda: any(when > moment for when in self.began), "an answer of the API")
        return next(when for when in self.began if when > moment)

    def _ask(self) -> None:
        answered = False
        while not self._stop.wait(PAUSE_SECONDS):
            address = self._address()
            if not address:
                answered = False
                self._stop.wait(LOOK_SECONDS)
                continue
            while not self._stop.wait(PAUSE_SECONDS):
                now = answers(address)
                if now and not answered:
                    self.began.append(time.time())
                if answered and not now:
                    answered = False
                    break  # another installation may get another address
                answered = now

    def _address(self) -> str:
        path = "jsonpath={.status.loadBalancer.ingress[0].ip}"
        words = ("--namespace", NAMESPACE, "get", "service", "deis-router", "-o", path)
        try:
            return self._node.kube(*words)
        except ClusterError:
            return ""


def answers(address: str) -> bool:
    """Whether a request of the API gets its answer."""
    connection = http.client.HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/v2/", headers={"Host": f"deis.{DOMAIN}"})
        return connection.getresponse().status in (200, 401)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def moment(text: str) -> float:
    """Seconds since the epoch of a time as helm and kubectl write it, of nanoseconds too."""
    whole, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction, zone = (rest[:digits], rest[digits:]) if dot else ("0", "")
    stamp = datetime.datetime.fromisoformat(whole + zone)
    return stamp.timestamp() + float(f"0.{fraction}")


def report(installation: Installation, answered: Answers) -> None:
    """Print the figure; helm itself says when it began."""
    status = json.loads(installation.helm("status", RELEASE, "-o", "json"))
    began = moment(status["info"]["first_deployed"])
    first = answered.first_after(began)
    answered.stop()
    line("helm install to the first answered API request", "s",
         [first - began],
         note="images are on the node, one replica each")  # fmt: skip
