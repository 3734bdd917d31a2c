"""Keep values out of logs and core dumps. `Value` registers its fields; `install` replaces them in every log record.

It misses a value of fewer than SHORTEST characters, in an unknown encoding, or split over two records.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import logging
import sys
import threading
import urllib.parse
from collections import OrderedDict
from threading import Lock
from typing import Any

from secretops.printable import printable

HIDDEN = "<hidden>"
SHORTEST = 6  # shorter strings occur by chance in ordinary text; no generated secret is that short

# Minimum characters of a single line of a value that is replaced. A PEM key's lines have 64 (RFC 7468), except the
# last.
SHORTEST_LINE = 16

# Maximum texts, including lines of keys: more than the fields of any stack, and about 10 MB.
MAX_TEXTS = 4096

log = logging.getLogger(__name__)


class _Known:
    """The texts to replace in logs, indexed by the first characters of their encodings. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        # Text -> its encodings; the latest at the end.
        self._texts: OrderedDict[str, set[str]] = OrderedDict()
        # First SHORTEST characters -> encoding that starts with them -> number of texts with that encoding.
        self._index: dict[str, dict[str, int]] = {}

    def remember(self, text: str) -> None:
        with self._lock:
            if text in self._texts:
                self._texts.move_to_end(text)
                return
            self._texts[text] = encodings = {encoding for encoding in _encodings(text) if len(encoding) >= SHORTEST}
            for encoding in encodings:
                found = self._index.setdefault(encoding[:SHORTEST], {})
                found[encoding] = found.get(encoding, 0) + 1
            if len(self._texts) > MAX_TEXTS:
                self._forget(self._texts.popitem(last=False)[1])

    def _forget(self, encodings: set[str]) -> None:
        for encoding in encodings:
            found = self._index[encoding[:SHORTEST]]
            found[encoding] -= 1
            if not found[encoding]:
                del found[encoding]
            if not found:
                del self._index[encoding[:SHORTEST]]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the spans of `text` that are encodings of known texts, in order. Overlapping spans are merged."""
        spans: list[tuple[int, int]] = []
        with self._lock:
            index = self._index
            begins = [at for at in range(len(text) - SHORTEST + 1) if text[at : at + SHORTEST] in index]
            for at in begins:
                encodings = index[text[at : at + SHORTEST]]
                end = max((at + len(encoding) for encoding in encodings if text.startswith(encoding, at)), default=at)
                if spans and at < spans[-1][1]:
                    spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
                elif end > at:
                    spans.append((at, end))
        return spans


_known = _Known()


def remember(text: str) -> None:
    """Replace `text`, its lines (errors may quote a line of a key) and their encodings in later log records.

    A text is forgotten after MAX_TEXTS other texts.
    """
    if len(text) < SHORTEST:
        return
    _known.remember(text)
    for line in map(str.strip, text.splitlines()):
        if line != text and len(line) >= SHORTEST_LINE and not line.startswith("-----"):
            _known.remember(line)


def redact(text: str) -> str:
    """Return `text` with every known value replaced. The time does not depend on the number of values."""
    parts, copied = [], 0
    for begin, end in _known.spans(text):
        parts += [text[copied:begin], HIDDEN]
        copied = end
    return "".join(parts) + text[copied:]


def _encodings(text: str) -> list[str]:
    raw = text.encode(errors="surrogatepass")
    escaped = {text}
    for _ in range(3):  # such as JSON within JSON within a repr, as botocore logs a request
        for each in tuple(escaped):
            escaped |= {repr(each)[1:-1], json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1]}
    encodings = [*escaped, repr(raw)[2:-1]]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encodings.append(encode(raw).decode().rstrip("="))
        for before in range(3):  # the text may start anywhere in a group of 3 bytes, as in user:password
            bits = 8 * (before + len(raw))
            encodings.append(encode(b"\0" * before + raw).decode()[-(-8 * before // 6) : bits // 6])
    encodings += [base64.b32encode(raw).decode().rstrip("="), raw.hex(), raw.hex().upper()]
    encodings += [urllib.parse.quote_from_bytes(raw), urllib.parse.quote_from_bytes(raw, safe="")]
    encodings.append(urllib.parse.quote_from_bytes(raw, safe=" ").replace(" ", "+"))
    return encodings


def _shown(text: str) -> str:
    return printable(redact(text), keep="\n\t")


def install() -> None:
    """Apply `redact` and `printable` to every log record, and to exceptions that end a thread."""
    make = logging.getLogRecordFactory()
    if getattr(make, "redacts", False):
        return
    formatter = logging.Formatter()

    def redacted(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        try:
            record.msg, record.args = _shown(record.getMessage()), ()
        except Exception:  # a wrong format string, or an argument that cannot be printed
            record.msg, record.args = _shown(str(record.msg)), ()
        if record.exc_info:
            record.exc_text = _shown(formatter.formatException(record.exc_info))
            record.exc_info = None  # a handler that formats it again would show the exception itself
        if record.stack_info:
            record.stack_info = _shown(record.stack_info)
        return record

    redacted.redacts = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(redacted)
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit:  # as in Python's own hook
        return
    name = ended.thread.name if ended.thread else "unknown"
    error = ended.exc_value or ended.exc_type()
    log.error("Thread %s ended by an exception.", name, exc_info=(ended.exc_type, error, ended.exc_traceback))


# PR_SET_DUMPABLE of prctl(2), which systemd-coredump obeys: it ignores RLIMIT_CORE.
_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Disable core dumps of this process, and on Linux let no process attach to it. Never raises.

    Children inherit only the limit on core dumps.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
