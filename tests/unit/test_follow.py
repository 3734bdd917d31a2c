"""When the launcher takes what it has read for whole."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from secretops.errors import SecretopsError, UsageError
from secretops.launcher import follow
from secretops.launcher.follow import SETTLE_TRIES, read_settled
from secretops.launcher.settings import ServerSettings


class Written:
    """A source that is being written: each text is what the next question finds, the last one for good."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)
        self.reads = 0

    def _next(self) -> str:
        return self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]

    def fingerprint(self) -> str:
        return self._next()

    def read(self) -> ServerSettings:
        self.reads += 1
        text = self._next()
        if text.startswith("half"):
            raise UsageError(text)
        return cast(ServerSettings, text)

    def folders(self) -> frozenset[Path]:
        return frozenset()

    def may_bring(self, variable: str) -> bool:  # noqa: ARG002 - nothing is missing
        return False


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SETTLE_SECONDS", 0)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param(["new"], ("new", "new"), id="at rest"),
        pytest.param(["old", "old", "new"], ("new", "new"), id="written after it was read"),
        pytest.param(["old", "torn", "new"], ("new", "new"), id="written while it was read"),
        pytest.param(["half", "half", "new"], ("new", "new"), id="half-written"),
        # With the earlier fingerprint, the follower sees that the source has changed since.
        pytest.param([str(number) for number in range(1000)], ("28", "27"), id="never settles"),
    ],
)
def test_read_settled_returns_what_did_not_change_while_it_was_read(
    texts: Sequence[str], expected: tuple[str, str]
) -> None:
    settings, fingerprint = read_settled(Written(*texts), threading.Event())
    assert (str(settings), fingerprint) == expected


@pytest.mark.parametrize(("stops", "reads"), [(False, SETTLE_TRIES), (True, 1)], ids=["runs", "stops"])
def test_read_settled_raises_when_a_source_stays_unreadable(stops: bool, reads: int) -> None:
    source, stopping = Written("half"), threading.Event()
    if stops:
        stopping.set()
    with pytest.raises(SecretopsError):
        read_settled(source, stopping)
    assert source.reads == reads
