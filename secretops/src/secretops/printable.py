"""Escape control characters in everything that is printed or logged."""

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
    """Return `text` with control, format and separator characters escaped as in JSON, except those in `keep`.

    Such characters can move a terminal's cursor, write its clipboard or reverse text.
    """
    return _UNCOMMON.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    # Python's encoder leaves DEL as it is.
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


class OutputError(SecretopsError): ...


class ClosedOutputError(OutputError):
    """The reader closed standard output, as `head` does. Not printed."""

    exit_code = ExitCode.CLOSED_OUTPUT


class Screen:
    """A text stream that escapes all but printable text, newline and tab.

    A failed write raises OutputError if `required`, else drops the text.
    """

    # UTF-8 in any locale, because libraries bypass a stream with "ascii". Characters that the locale lacks are escaped.
    encoding = "utf-8"

    def __init__(self, stream: TextIO, *, required: bool) -> None:
        self.stream, self._required, self.used = stream, required, False

    def write(self, text: str) -> int:
        return self.write_styled(text, "")

    def write_styled(self, text: str, code: str) -> int:
        """Write `text`, escaped, with the style of an SGR code (ECMA-48). Raises OutputError."""
        if not (shown := printable(text, keep="\n\t")):
            return 0
        self.used = True
        self._attempt(lambda: self.stream.write(f"\x1b[{code}m{shown}\x1b[0m" if code else shown))
        return len(text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            if not self._required:
                return
            if isinstance(error, BrokenPipeError):
                raise ClosedOutputError("standard output was closed", code="output-closed") from None
            raise OutputError(
                f"cannot write to standard output: {error.strerror}",
                rule="standard output must accept the whole output; the command has run, and its output is incomplete",
                remedy="free disk space, or redirect the output; to see what the command did: secretops status",
                code="output-incomplete",
            ) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class ScreenedBytes(io.BytesIO):
    """A byte stream for the UTF-8 output of another process. A Screen prints it."""

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
    """Replace standard output and standard error by Screens. Idempotent."""
    for name, required in (("stdout", True), ("stderr", False)):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process: writing fails, as on a full disk
            stream = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
        if not isinstance(stream, Screen):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # a locale may lack a character
            setattr(sys, name, Screen(stream, required=required))
