"""Read logs, which may be gzipped, line by line in bounded memory."""

from __future__ import annotations

import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from secretops.trails import json_documents

STDIN = "-"

# Bytes of the longest line: a CloudTrail file is one line of up to tens of megabytes. Also limits a JSON document on
# several lines, which takes eight times its length in memory.
LONGEST_LINE = 64 * 2**20

_GZIP = b"\x1f\x8b"


def records_of(name: str) -> Iterator[bytes | None]:
    """Yield a file's non-empty lines. A JSON document on several lines is one item. An item is None if its line is
    unreadable or too long."""
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(open_log(name))
        except OSError:  # removed meanwhile
            yield None
            return
        lines = lines_of(file)
        first = next(lines, b"")
        if first and first.lstrip().startswith((b"{", b"[")) and not _is_json(first):
            yield from _joined(first, lines)
        elif first != b"":
            yield first
        yield from lines


@contextlib.contextmanager
def open_log(name: str) -> Iterator[BinaryIO]:
    """Open the file `name`, or standard input for "-". Raises OSError."""
    if name == STDIN:
        yield sys.stdin.buffer
        return
    with Path(name).open("rb") as file:
        yield file


def lines_of(packed: BinaryIO) -> Iterator[bytes | None]:
    try:
        file = packed
        if hasattr(packed, "peek") and packed.peek(len(_GZIP))[: len(_GZIP)] == _GZIP:
            file = cast(BinaryIO, gzip.GzipFile(fileobj=packed))
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield None
            elif line.strip():
                yield line
    except (OSError, EOFError, zlib.error):  # truncated, or no gzip
        yield None


def _joined(first: bytes, lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    """If a JSON document begins with `first` and continues in `lines`, yield it as one item; else yield each line."""
    lines_read, length = [first], len(first)
    for line in lines:
        if line is None or length + len(line) > LONGEST_LINE or (len(lines_read) == 1 and _is_json(line)):
            yield from lines_read
            yield line
            return
        lines_read.append(line)
        length += len(line)
    whole = b"".join(lines_read)
    yield from [whole] if _is_json(whole) else lines_read


def _is_json(text: bytes) -> bool:
    try:
        json_documents(text)
    except (ValueError, RecursionError):
        return False
    return True
