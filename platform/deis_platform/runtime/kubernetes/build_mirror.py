"""The build pods there are, mirrored; all builders see the same ones."""

import asyncio
import contextlib
from collections.abc import Callable

from deis_platform.kubernetes import Kubernetes, Mirror, kinds
from deis_platform.runtime.kubernetes import build_pods, state, views

SELECTOR = f"heritage=deis,{build_pods.TASK_LABEL}"


class BuildPods:
    """Build pods by name; `mirror` has to run."""

    def __init__(self, api: Kubernetes, namespace: str) -> None:
        self.namespace = namespace
        self.mirror = Mirror(
            api, kinds.POD, views.Pod, namespace=namespace, labels=SELECTOR, heard=self._heard
        )
        self._changes = asyncio.Event()

    def get(self, name: str) -> views.Pod | None:
        """One of them."""
        return self.mirror.items.get(f"{self.namespace}/{name}")

    def all(self) -> list[views.Pod]:
        """Every one."""
        return list(self.mirror.items.values())

    def learn(self, obj: dict[str, object]) -> None:
        """Take in one that was made or read just now."""
        self.mirror.learn(obj)

    def over(self, name: str) -> bool:
        """Whether it has ended or is gone."""
        pod = self.get(name)
        return pod is None or state.ended(pod) is not None

    async def until(
        self, true: Callable[[], bool], *, again: float | None = None, seconds: float | None = None
    ) -> bool:
        """Wait until it is true: looked at after each change of a pod, and every `again` s. False
        when it is not within `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not true():
                    await self.changed(again)
        return true()

    async def changed(self, seconds: float | None) -> None:
        """Wait for the next change of a pod, at most so long; None: however long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changes.wait()

    def _heard(self, _key: str, _old: views.Pod | None, _new: views.Pod | None) -> None:
        self._changes.set()
        self._changes = asyncio.Event()
