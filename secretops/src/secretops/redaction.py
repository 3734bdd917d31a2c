"""Values never reach a log: every value this process holds is replaced in every record, whoever writes it.

A filter, not a call to remember. `Value` registers what it holds; `install` puts the filter where all records
are made, so that a library's logger, its arguments and its tracebacks pass through it too.
"""

from __future__ import annotations

import base64
import json
import logging
import urllib.parse
from threading import Lock
from typing import Any

from secretops.printable import printable

HIDDEN = "<hidden>"
SHORTEST = 6  # shorter strings occur by chance in ordinary text; nothing secretops generates is that short
SHORTEST_LINE = 16
"""Of a text of several lines: a key's have 64 (RFC 7468), its last one what is left."""

_lock = Lock()
_known: set[str] = set()


def remember(text: str) -> None:
    """From now on replace `text`, its base64, hex and URL-encoded forms, and its lines, in every record.

    Whoever can't read a key may quote the line: of PEM each but the first and the last is a part of the key.
    """
    if len(text) < SHORTEST:
        return
    lines = {line.strip() for line in text.splitlines()} - {text}
    with _lock:
        _known.update(_forms(text))
        for line in lines:
            if len(line) >= SHORTEST_LINE and not line.startswith("-----"):
                _known.update(_forms(line))


def _forms(text: str) -> set[str]:
    """`text` as libraries print, escape or encode it."""
    raw = text.encode(errors="surrogatepass")
    return {
        text,
        repr(text)[1:-1],
        repr(raw)[2:-1],
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
        raw.hex().upper(),
        urllib.parse.quote_from_bytes(raw),
        urllib.parse.quote_from_bytes(raw, safe=""),
        urllib.parse.quote_from_bytes(raw, safe=" ").replace(" ", "+"),
    }


def redact(text: str) -> str:
    """`text` with every known value replaced."""
    with _lock:
        known = sorted(_known, key=len, reverse=True)
    for value in known:
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


def _shown(text: str) -> str:
    return printable(redact(text), keep="\n\t")


def install() -> None:
    """Make each log record of this process, of each logger, now and later, pass through `redact` and `printable`."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return
    formatter = logging.Formatter()

    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            record.msg, record.args = _shown(record.getMessage()), ()
        except Exception:  # a caller's wrong format string, or an argument that can't be printed: without arguments
            record.msg, record.args = _shown(str(record.msg)), ()
        if record.exc_info:
            record.exc_text = _shown(formatter.formatException(record.exc_info))
            record.exc_info = None  # a handler that formats it again would show the exception itself
        if record.stack_info:
            record.stack_info = _shown(record.stack_info)
        return record

    redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(redacted)
