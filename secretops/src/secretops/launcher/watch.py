"""Poll a source every second, and at once when its folders change.

Watches folders and not files, because a rename, or Kubernetes' swap of `..data`, replaces a file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from secretops.launcher.sources import Source
from secretops.launcher.state import LauncherState

log = logging.getLogger(__name__)
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # at INFO it logs every change of any file

# Longest time between two polls, which read a few small files.
POLL_SECONDS = 1.0

# Seconds after which watching is retried: all processes of a user share inotify's limits.
WATCH_AGAIN_SECONDS = 60.0

# Milliseconds to collect events, and between two polls of watchfiles.
_GATHER_MILLISECONDS, _STEP_MILLISECONDS = 50, 20


def keep_polling(poll: Callable[[], bool], source: Source, stopping: threading.Event, state: LauncherState) -> None:
    """Call `poll` whenever `source` may have changed, until it returns True or `stopping` is set. Logs errors."""
    failed = ""
    state.polled(source.read_at())
    try:
        for _ in wakeups(source.folders, stopping):
            try:
                done = poll()
            except Exception as error:
                state.poll_failed()
                if failed != (failed := f"{type(error).__name__}: {error}"):
                    log.exception("A poll of the source failed; retrying every %s s.", POLL_SECONDS)
            else:
                failed = ""
                state.polled(source.read_at())
                if done:
                    return
    finally:
        if not stopping.is_set():
            state.poll_failed()


def wakeups(
    folders: Callable[[], Collection[Path]], stopping: threading.Event, *, every: float = POLL_SECONDS
) -> Iterator[None]:
    """Yield when files in `folders()` may have changed, at least every `every` seconds, until `stopping` is set."""
    warned: set[str] = set()
    while not stopping.is_set():
        watched = _inodes(folders, warned)
        for _ in _events(tuple(watched), stopping, every, warned):
            if stopping.is_set():
                return
            yield
            if _inodes(folders, warned) != watched:  # a folder was replaced, or has another name now
                break


def _inodes(folders: Callable[[], Collection[Path]], warned: set[str]) -> dict[Path, int]:
    found = {}
    try:
        for folder in folders():
            try:
                found[folder] = folder.stat().st_ino
            except (OSError, ValueError):
                continue  # polled only, until the folder exists
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
        except Exception as error:  # watchfiles 1.3 raises its own RuntimeError when inotify is exhausted
            _warn_once(error, warned)
    for _ in range(max(1, int(WATCH_AGAIN_SECONDS / every))):
        if stopping.wait(every):
            return
        yield


def _warn_once(error: Exception, warned: set[str]) -> None:
    message = f"{type(error).__name__}: {error}"
    if message not in warned:
        warned.add(message)
        log.warning("Cannot watch the source's folders; polling every %s s. %s", POLL_SECONDS, message)
