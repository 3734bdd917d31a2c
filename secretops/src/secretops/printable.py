"""Text that somebody else chose, made fit for a terminal and a log: the one place that everything printed passes."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from typing import Any, TextIO

from secretops.errors import ExitCode, SecretopsError

_UNCOMMON = re.compile(r"[^ -~]")


def printable(text: str, *, keep: str = "") -> str:
    """Return `text` with each control, format and separator character escaped as in JSON, but for those in `keep`.

    They move a terminal's cursor, write its clipboard or reverse the text: whoever sends a request chooses some of it.
    """
    return _UNCOMMON.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    # Python's encoder leaves DEL as it is.
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


class OutputError(SecretopsError):
    """Standard output takes no more text."""


class ClosedOutputError(OutputError):
    """The reader of standard output closed it, as `head` does. Nothing is printed about it."""

    exit_code = ExitCode.CLOSED_OUTPUT


class Screen:
    """A text stream that lets through printable text, newline and tab. Anything else is written escaped.

    `required`: text that can't be written raises OutputError. Else it is dropped: nobody can be notified on a full
    standard error.
    """

    # Whatever the locale: characters that it lacks are escaped. Libraries go around a stream that says "ascii".
    encoding = "utf-8"

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        self.stream, self._required, self.used = stream, required, False

    def write(self, text: str) -> int:
        """Write `text`, escaped. Raises OutputError."""
        return self.write_styled(text, "")

    def write_styled(self, text: str, code: str) -> int:
        """Write `text`, escaped, in the style that has this code of ECMA-48 (SGR). Raises OutputError."""
        if not (shown := printable(text, keep="\n\t")):
            return 0
        self.used = True
        self._attempt(lambda: self.stream.write(f"\x1b[{code}m{shown}\x1b[0m" if code else shown))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Raises OutputError."""
        self._attempt(self.stream.flush)

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            if not self._required:
                return
            if isinstance(error, BrokenPipeError):
                raise ClosedOutputError("standard output was closed") from None
            raise OutputError(
                f"standard output: {error.strerror}",
                rule="what the command did is done; what it printed is not complete",
                remedy="make room, or print elsewhere; secretops status shows how things are",
            ) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class ScreenedBytes(io.BytesIO):
    """A stream of bytes for what another process printed: UTF-8 text, written to a Screen."""

    def __init__(self, screen: TextIO) -> None:
        super().__init__()
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: Any) -> int:
        self._screen.write(self._decoder.decode(data))
        return len(data)

    def flush(self) -> None:
        self._screen.flush()


def install() -> None:
    """Put a Screen in front of this process's standard output and error. A second call changes nothing."""
    for name, required in (("stdout", True), ("stderr", False)):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process: what is written fails, as on a full disk
            stream = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
        if not isinstance(stream, Screen):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a locale may lack a character of ours
            setattr(sys, name, Screen(stream, required=required))
