"""What stands already of the generation that is to be written: it is not written again. Pure.

So what heals one object changes no other: a policy that no longer fits is written anew without a
rollout of Deployments that would come out differently since the platform's last upgrade.
"""

from typing import Any

from deis_platform.runtime.kubernetes import marks, names, views
from deis_platform.runtime.kubernetes.marks import Marks
from deis_platform.runtime.kubernetes.state import Held, key

AROUND = ("NetworkPolicy", "ResourceQuota")
"""The kinds that depend on the surroundings."""


class Standing:
    """Objects of one application as they were when its apply began."""

    def __init__(self, held: Held | None, generation: int, around: str) -> None:
        written = held.marks if held is not None else Marks()
        there = held.objects if held is not None and written.generation == generation else {}
        self._there = {
            name: there[name]
            for name, word in written.objects.items()
            if name in there
            and marks.word(there[name]) == word
            and (around in ("", written.around) or not name.startswith(AROUND))
        }
        kept = key("NetworkPolicy", names.POLICY) in self._there
        self.around = around or (written.around if kept else "")
        """The surroundings that all of it fits once the rest is written."""

    def get(self, obj: dict[str, Any]) -> views.View | None:
        """The object, where it need not be written; None where it must be."""
        return self._there.get(key(obj["kind"], obj["metadata"]["name"]))
