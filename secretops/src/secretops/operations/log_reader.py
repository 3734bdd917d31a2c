"""How logs are read: line by line, packed or not, in memory that does not grow with them."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from secretops.trails.protocol import documents

STDIN = "-"

LONGEST_LINE = 64 * 2**20
"""Bytes. A record without bodies is a few kilobytes, and a file of CloudTrail one line of all its records, some of them
tens of megabytes. A longer line is broken, and never held in memory whole. A file that is one document on many lines
may be as long, and takes some eight times its length of memory; a longer one is read line by line."""

_GZIP = b"\x1f\x8b"


def records_of(name: str) -> Iterator[bytes | None]:
    """What is to be read of a file: its lines but for empty ones, or the whole of one that is JSON on many lines. None
    stands for what can't be unpacked or is too long."""
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(open_log(name))
        except OSError:  # gone since it was looked at
            yield None
            return
        lines = lines_of(file)
        first = next(lines, b"")
        if first and first.lstrip().startswith(b"{") and not _is_json(first):
            yield from _together(first, lines)
        elif first != b"":
            yield first
        yield from lines


@contextlib.contextmanager
def open_log(name: str) -> Iterator[BinaryIO]:
    """That file, or standard input, which stays open. Raises OSError."""
    if name == STDIN:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


def lines_of(packed: BinaryIO) -> Iterator[bytes | None]:
    """Its lines but for empty ones. None stands for what can't be unpacked or is too long."""
    try:
        file = _unpacked(packed)
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield None
            elif line.strip():
                yield line
    except (OSError, EOFError, zlib.error):  # cut short, or no gzip after all
        yield None


def _together(first: bytes, lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """What begins with a line that is no document by itself: all of it, if that is JSON, else its lines.

    Where the next line is a document, the first is a torn one of a log.
    """
    held, length = [first], len(first)
    for line in lines:
        if line is None or length + len(line) > LONGEST_LINE or (len(held) == 1 and _is_json(line)):
            yield from held
            yield line
            return
        held.append(line)
        length += len(line)
    whole = b"".join(held)
    yield from [whole] if _is_json(whole) else held


def _is_json(text: bytes) -> bool:
    try:
        documents(text)
    except (ValueError, RecursionError):
        return False
    return True


def _unpacked(file: BinaryIO) -> BinaryIO:
    peeked = file.peek(len(_GZIP))[: len(_GZIP)] if hasattr(file, "peek") else b""
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if peeked == _GZIP else file
