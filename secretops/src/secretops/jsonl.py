"""Append-only files of lines, such as the access records and the rotation journal."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from secretops.own_files import open_own


def append(path: Path, line: str) -> None:
    """Add `line` and wait until it is on disk. A new file gets mode 600. Raises OSError, and StoreError for a link.

    One write, so that lines of two processes never mix. After a line that a full disk cut short it begins a new one.
    """
    file = open_own(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        end = os.fstat(file).st_size
        whole = end == 0 or os.pread(file, 1, end - 1) == b"\n"
        data = (b"" if whole else b"\n") + line.encode() + b"\n"
        if os.write(file, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        os.close(file)
