"""The shutdown of a hanging launcher."""

import contextlib
import os
import sys

import pytest

from secretops.errors import ExitCode
from secretops.launcher import stdio


@pytest.mark.parametrize("stderr", ["is read", "is closed", "is full"])
def test_a_launcher_that_hangs_ends_whatever_its_stderr_does(stderr: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with os.fdopen(reader, "rb") as read, os.fdopen(writer, "w") as written:
        monkeypatch.setattr(sys, "stderr", written)
        if stderr == "is closed":
            read.close()
        elif stderr == "is full":
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(writer, b" ")
            os.set_blocking(writer, True)
        stdio._end_now()
    assert codes == [ExitCode.DONE]
