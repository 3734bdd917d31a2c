"""When to look whether something has changed: at once where the system tells, and every second in any case.

Folders are watched, not files: a rename (how secretops and most editors write) and Kubernetes' swap of its `..data`
link leave a watched file behind. Network file systems tell nothing of other machines, hence the second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

log = logging.getLogger(__name__)
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it counts changes, also those that matter to nobody

EVERY_SECONDS = 1.0
"""The longest time between two looks. One costs a read of a few small files."""

_GATHER_MILLISECONDS = 50
"""How long to wait for more events after one: whoever writes one file often writes another."""

_STEP_MILLISECONDS = 20


def looks(
    folders: Callable[[], Collection[Path]], stopping: threading.Event, *, every: float = EVERY_SECONDS
) -> Iterator[None]:
    """Yield when something may have changed in `folders`, which are asked anew each time, and after `every` seconds.

    Ends with `stopping`.
    """
    while not stopping.is_set():
        watched = _identities(folders())
        events = _events(tuple(watched), stopping, every)
        for _ in events:
            if stopping.is_set():
                return
            yield
            if _identities(folders()) != watched:  # a folder was replaced, or other files are named now
                break


def _identities(folders: Collection[Path]) -> dict[Path, int]:
    found = {}
    for folder in folders:
        try:
            found[folder] = folder.stat().st_ino
        except OSError:
            continue  # polling finds it once it is there
    return found


def _events(folders: tuple[Path, ...], stopping: threading.Event, every: float) -> Iterator[None]:
    if folders:
        try:
            from watchfiles import watch

            for _ in watch(
                *folders,
                watch_filter=None,
                debounce=_GATHER_MILLISECONDS,
                step=_STEP_MILLISECONDS,
                stop_event=stopping,
                rust_timeout=int(every * 1000),
                yield_on_timeout=True,
                raise_interrupt=False,
                recursive=False,
            ):
                yield
        except ImportError:
            log.debug("watchfiles is not installed: changes are noticed within %s s.", every)
        except OSError as error:  # no inotify, or no more watches
            log.debug("Cannot watch (%s): changes are noticed within %s s.", error, every)
        else:
            return
    while not stopping.wait(every):
        yield
