"""Which folders are watched, and whose lines wait to be read (decision 0020).

Only folders of pods that were named by `known` are looked into. A pod that is gone is read as long
as its folder is there: the kubelet removes it, with what nobody has read.
"""

from collections.abc import Iterable

from deis_platform.logs import get_logger
from deis_services.shipper import inotify
from deis_services.shipper.files import LogFolder
from deis_services.shipper.inotify import Event, Inotify
from deis_services.shipper.listing import Counts
from deis_services.shipper.model import Key, Pod, Position, is_container, is_plain
from deis_services.shipper.positions import Saved, SavedFile
from deis_services.shipper.tail import Tail

log = get_logger(__name__)

FOLDERS = inotify.CREATED | inotify.MOVED_TO
FILES = FOLDERS | inotify.MOVED_FROM | inotify.DELETED | inotify.MODIFIED

Place = tuple[str, ...]
"""Names below the folder of logs: none, a pod's folder, or that and a container's."""


class Folders:
    """The folder of logs as far as it is ours; nothing here waits for anything."""

    def __init__(self, logs: LogFolder, saved: Iterable[Saved] = ()) -> None:
        self.counts = Counts()
        self.events = Inotify()
        self.tails: dict[Place, Tail] = {}
        self.ready: dict[Tail, None] = {}
        """Those to be read, in turn."""
        self._logs = logs
        self._pods: dict[str, Pod] = {}
        self._gone: set[str] = set()
        """Folders of pods that the API server does not know any more."""
        self._places: dict[int, Place] = {}
        self._watches: dict[Place, int] = {}
        self._missed: set[Place] = set()
        """What could not be watched, for want of watches."""
        self._late: set[Tail] = set()
        self._saved: dict[Place, dict[Key, Position]] = {}
        for container in saved:
            place = (container.pod.folder, container.container)
            self._saved[place] = {file.key: file.position for file in container.files}
            self._pods[container.pod.folder] = container.pod
        self._gone.update(self._pods)

    def open(self) -> None:
        """Begin, with the pods of before that still have a folder; their metadata may be old.

        Raises OSError where there is no folder of logs, or it cannot be watched.
        """
        if not self._watch((), FOLDERS):
            raise FileNotFoundError("the folder of logs cannot be watched")
        for folder in [*self._pods]:
            self._enter_pod(folder)
        for folder in [*self._gone]:
            self._drop_pod(folder)
        self._saved = {place: kept for place, kept in self._saved.items() if place[0] in self._pods}

    def close(self) -> None:
        """End."""
        self.events.close()
        for tail in self.tails.values():
            tail.release()

    def known(self, pod: Pod) -> None:
        """This is a pod of an application, or has become another one."""
        if not is_plain(pod):
            self.counts.refused += 1
            return
        self._pods[pod.folder] = pod
        self._gone.discard(pod.folder)
        for place, tail in self.tails.items():
            if place[0] == pod.folder:
                tail.pod = pod
        if (pod.folder,) not in self._watches:
            self._enter_pod(pod.folder)

    def forgotten(self, pod: Pod) -> None:
        """It is gone, or is no application's any more."""
        self._gone.add(pod.folder)
        self._drop_pod(pod.folder)

    def hear(self) -> None:
        """Take the events that have come, and mark who has something to read."""
        for event in self.events.read():
            if event.mask & inotify.OVERFLOWED:
                self._look_everywhere()
            elif (place := self._places.get(event.watch)) is not None:
                self._happened(place, event)

    def retry(self) -> None:
        """Called now and then: try again to watch and to read what could not be; end old halves."""
        self.ready.update(dict.fromkeys(self._late))
        self._late.clear()
        self.ready.update({tail: None for tail in self._waiting() if tail.tick()})
        missed, self._missed = self._missed, set()
        for place in missed:
            if len(place) == 1:
                self._enter_pod(place[0])
            elif place:
                self._enter_container(place)

    def put_off(self, tail: Tail) -> None:
        """It cannot be read now."""
        self._late.add(tail)

    @property
    def opened(self) -> int:
        """Files that are open."""
        return sum(tail.opened for tail in self.tails.values())

    def behind(self) -> int:
        """Bytes that are there and not read, of all containers."""
        return sum(tail.behind() for tail in self.tails.values())

    @property
    def late(self) -> bool:
        """Whether something is to be tried again."""
        return bool(self._missed or self._late or self._waiting())

    def _waiting(self) -> list[Tail]:
        """Those in the middle of a line, with nothing to read."""
        return [tail for tail in self.tails.values() if tail.waits and tail not in self.ready]

    def done(self, tail: Tail) -> None:
        """It has ended: forget it."""
        place = (tail.pod.folder, tail.container)
        tail.release()
        del self.tails[place]
        self.ready.pop(tail, None)
        self._late.discard(tail)
        self._unwatch(place)
        self._enter_container(place)  # perhaps there is another one by now
        self._drop_pod(place[0])

    def saved(self) -> list[Saved]:
        """All positions as they are to be kept."""
        return [
            Saved(
                tail.pod,
                tail.container,
                [SavedFile(key, position) for key, position in tail.positions().items()],
            )
            for tail in self.tails.values()
        ]

    def close_some(self, most: int) -> None:
        """Close files until at most so many are open, first those with nothing to read."""
        opened = [tail for tail in self.tails.values() if tail.opened]
        if len(opened) > most:
            opened.sort(key=lambda tail: (tail in self.ready, tail.waits))
            for tail in opened[: len(opened) - most]:
                tail.close()

    def _happened(self, place: Place, event: Event) -> None:
        if event.mask & inotify.ENDED:
            self._ended(place)
        elif not place:
            if event.name in self._pods:
                self._enter_pod(event.name)
        elif len(place) == 1:
            self._enter_container((*place, event.name))
        elif (tail := self.tails.get(place)) is not None:
            if event.mask & inotify.MODIFIED:
                tail.touched(event.name)
            else:
                tail.moved()
            self.ready[tail] = None

    def _ended(self, place: Place) -> None:
        """The folder was deleted."""
        watch = self._watches.pop(place, None)
        if watch is not None:
            self._places.pop(watch, None)
        if tail := self.tails.get(place):
            tail.moved()
            self.ready[tail] = None
        elif len(place) == 1:
            self._drop_pod(place[0])
        elif not place:
            log.error("the folder of logs was removed")

    def _look_everywhere(self) -> None:
        for tail in self.tails.values():
            tail.moved()
            self.ready[tail] = None
        for folder in [*self._pods]:
            self._enter_pod(folder)

    def _enter_pod(self, folder: str) -> None:
        if folder not in self._pods or not self._watch((folder,), FOLDERS):
            return
        try:
            names = self._logs.names(folder)
        except OSError:
            return
        for name in names:
            self._enter_container((folder, name))

    def _enter_container(self, place: Place) -> None:
        folder, name = place
        pod = self._pods.get(folder)
        if pod is None or not is_container(name) or not self._watch(place, FILES):
            return
        if known := self.tails.get(place):  # deleted and made again
            known.moved()
            self.ready[known] = None
            return
        saved = self._saved.pop(place, {})
        tail = Tail(self._logs, pod, name, self.counts, saved)
        self.tails[place] = tail
        self.ready[tail] = None

    def _watch(self, place: Place, mask: int) -> bool:
        """Whether it is watched now; not where it is absent, or no folder."""
        if place in self._watches:
            return True
        try:
            watch = self._logs.watch(self.events, mask, *place)
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            self.counts.refused += 1
            return False
        except OSError as fault:
            if not self._missed:
                log.warning("folder cannot be watched now", place="/".join(place), fault=str(fault))
            self._missed.add(place)
            return False
        self._watches[place] = watch
        self._places[watch] = place
        return True

    def _unwatch(self, place: Place) -> None:
        watch = self._watches.pop(place, None)
        if watch is not None:
            del self._places[watch]
            self.events.remove(watch)

    def _drop_pod(self, folder: str) -> None:
        """Forget a pod that is gone, once nothing of it is left to read."""
        if folder in self._gone and not any(place[0] == folder for place in self.tails):
            self._gone.discard(folder)
            self._pods.pop(folder, None)
            self._unwatch((folder,))
