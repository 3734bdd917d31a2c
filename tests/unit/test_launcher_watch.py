"""Each way in which a file changes is told at once where the system tells, and looked for where it does not."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from secretops.launcher.watch import looks

NEVER = 600.0
"""Seconds between two polls, so that only an event can be what ended the wait."""

DEADLINE = 60.0


def in_place(folder: Path, number: int) -> None:
    (folder / "value").write_text(str(number))


def rename(folder: Path, number: int) -> None:
    (folder / ".value.new").write_text(str(number))
    (folder / ".value.new").rename(folder / "value")


def kubernetes_link(folder: Path, number: int) -> None:
    """As kubelet's AtomicWriter: a new folder, a new link to it, renamed over `..data`."""
    (folder.parent / f"..{number}").mkdir()
    (folder / "..data_tmp").symlink_to(f"../..{number}")
    (folder / "..data_tmp").rename(folder / "..data")


@pytest.mark.parametrize("change", [in_place, rename, kubernetes_link])
def test_a_change_is_told_without_waiting_for_the_next_look(
    change: Callable[[Path, int], None], tmp_path: Path
) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    stopping, looked = threading.Event(), threading.Event()

    def follow() -> None:
        for _ in looks(lambda: {folder}, stopping, every=NEVER):
            looked.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    end, number = time.monotonic() + DEADLINE, 0
    while not looked.wait(0.5) and time.monotonic() < end:  # the first may come before the watch is set up
        number += 1
        change(folder, number)
    stopping.set()
    thread.join(DEADLINE)
    assert looked.is_set()
    assert not thread.is_alive()


@pytest.mark.parametrize("absent", [True, False])
def test_without_watching_it_looks_every_so_often(
    absent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package, and for a source that has no folder to watch."""
    if absent:
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    stopping = threading.Event()
    folders = {tmp_path} if absent else set()
    seen = 0
    for _ in looks(lambda: folders, stopping, every=0.01):
        seen += 1
        if seen == 3:
            stopping.set()
    assert seen == 3


def test_a_folder_that_comes_later_is_found_by_looking(tmp_path: Path) -> None:
    later, stopping = tmp_path / "later", threading.Event()
    for _ in looks(lambda: {later}, stopping, every=0.01):
        if later.exists():
            stopping.set()
        else:
            later.mkdir()
