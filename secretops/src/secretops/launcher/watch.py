"""Poll a source: at once where the system reports a change, every second in any case, and until the process ends.

Folders are watched, not files: a rename (how secretops and most editors write) and Kubernetes' swap of its `..data`
link leave a watched file behind. Network file systems report nothing of other machines, hence the second.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from secretops.launcher.source import Source
from secretops.launcher.state import LauncherState

log = logging.getLogger(__name__)
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # at INFO it logs every change of any file

# The longest time between two polls. One costs a read of a few small files.
EVERY_SECONDS = 1.0

# How long polling alone goes on before it is tried again to watch. inotify's limits are shared by all processes of a
# user: another one may have freed some.
WATCH_AGAIN_SECONDS = 60.0

# How long to wait for more events after one: whatever writes one file often writes another.
_GATHER_MILLISECONDS = 50

_STEP_MILLISECONDS = 20


def keep_polling(poll: Callable[[], bool], source: Source, stopping: threading.Event, state: LauncherState) -> None:
    """Call `poll` whenever `source` may have changed, until it returns True or `stopping` is set.

    An exception of `poll` is logged once, and the next poll follows. `state` records when the last one ended without
    an exception, and when `source` was last read.
    """
    failed = ""
    state.polled(source.read_at())
    try:
        for _ in wakeups(source.folders, stopping):
            try:
                done = poll()
            except Exception as error:
                state.poll_failed()
                if failed != (failed := f"{type(error).__name__}: {error}"):
                    log.exception("A poll of the source failed. Polling goes on, every %s s.", EVERY_SECONDS)
            else:
                failed = ""
                state.polled(source.read_at())
                if done:
                    return
    finally:
        if not stopping.is_set():
            state.poll_failed()


def wakeups(
    folders: Callable[[], Collection[Path]], stopping: threading.Event, *, every: float = EVERY_SECONDS
) -> Iterator[None]:
    """Yield when something may have changed in `folders`, which is called each time, and after `every` seconds.

    Ends with `stopping`. Whatever goes wrong with watching is logged; then it polls.
    """
    warned: set[str] = set()
    while not stopping.is_set():
        watched = _identities(folders, warned)
        for _ in _events(tuple(watched), stopping, every, warned):
            if stopping.is_set():
                return
            yield
            if _identities(folders, warned) != watched:  # a folder was replaced, or other files are named now
                break


def _identities(folders: Callable[[], Collection[Path]], warned: set[str]) -> dict[Path, int]:
    found = {}
    try:
        for folder in folders():
            try:
                found[folder] = folder.stat().st_ino
            except (OSError, ValueError):
                continue  # polling finds it once it is there
    except Exception as error:
        _warn_once(error, warned)
    return found


def _events(folders: tuple[Path, ...], stopping: threading.Event, every: float, warned: set[str]) -> Iterator[None]:
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
        except Exception as error:  # watchfiles 1.3 raises a RuntimeError of its own when inotify is exhausted
            _warn_once(error, warned)
    polls = max(1, int(WATCH_AGAIN_SECONDS / every))
    while polls and not stopping.wait(every):
        polls -= 1
        yield


def _warn_once(error: Exception, warned: set[str]) -> None:
    message = f"{type(error).__name__}: {error}"
    if message not in warned:
        warned.add(message)
        log.warning("Cannot watch the source's folders; they are polled every %s s. %s", EVERY_SECONDS, message)
