"""Values never reach a log: every value this process holds is replaced in every record, whoever writes it.

A filter, not a call to remember. `Value` registers what it holds; `install` puts the filter where all records
are made, so that a library's logger, its arguments and its tracebacks pass through it too.

Not found: a value of fewer than SHORTEST characters, one that is split over two records, and encodings that `_forms`
does not have.
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
SHORTEST = 6  # shorter strings occur by chance in ordinary text; nothing secretops generates is that short

# Of a text of several lines: a key's have 64 (RFC 7468), its last one what is left.
SHORTEST_LINE = 16

# Texts, a line of a key being one. Whatever is in use is remembered again at every change of a value; more than any
# stack has fields. Bounds the memory to about 10 MB.
MOST_TEXTS = 4096

log = logging.getLogger(__name__)


class _Known:
    """The texts that are replaced, and where each of their forms begins. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._texts: OrderedDict[str, set[str]] = OrderedDict()
        """Text -> its forms; the one that was remembered last at the end."""
        self._index: dict[str, dict[str, int]] = {}
        """The first SHORTEST characters -> each form that begins so, and of how many texts it is one."""

    def remember(self, text: str) -> None:
        with self._lock:
            if text in self._texts:
                self._texts.move_to_end(text)
                return
            self._texts[text] = forms = {form for form in _forms(text) if len(form) >= SHORTEST}
            for form in forms:
                found = self._index.setdefault(form[:SHORTEST], {})
                found[form] = found.get(form, 0) + 1
            if len(self._texts) > MOST_TEXTS:
                self._forget(self._texts.popitem(last=False)[1])

    def _forget(self, forms: set[str]) -> None:
        for form in forms:
            found = self._index[form[:SHORTEST]]
            found[form] -= 1
            if not found[form]:
                del found[form]
            if not found:
                del self._index[form[:SHORTEST]]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the forms are in `text`, in order. Two that overlap are one span."""
        spans: list[tuple[int, int]] = []
        with self._lock:
            index = self._index
            begins = [at for at in range(len(text) - SHORTEST + 1) if text[at : at + SHORTEST] in index]
            for at in begins:
                forms = index[text[at : at + SHORTEST]]
                end = max((at + len(form) for form in forms if text.startswith(form, at)), default=at)
                if spans and at < spans[-1][1]:
                    spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
                elif end > at:
                    spans.append((at, end))
        return spans


_known = _Known()


def remember(text: str) -> None:
    """From now on replace `text`, its lines, and the forms of both that libraries make, in every record.

    What can't read a key may quote the line: of PEM each but the first and the last is a part of the key. After
    MOST_TEXTS others a text is forgotten.
    """
    if len(text) < SHORTEST:
        return
    _known.remember(text)
    for line in map(str.strip, text.splitlines()):
        if line != text and len(line) >= SHORTEST_LINE and not line.startswith("-----"):
            _known.remember(line)


def redact(text: str) -> str:
    """Return `text` with every known value replaced. Takes as long as `text` is, however many values are known."""
    parts, copied = [], 0
    for begin, end in _known.spans(text):
        parts += [text[copied:begin], HIDDEN]
        copied = end
    return "".join(parts) + text[copied:]


def _forms(text: str) -> list[str]:
    """Return `text` as libraries print, escape or encode it."""
    raw = text.encode(errors="surrogatepass")
    once = {text, repr(text)[1:-1], json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
    forms = [*once, repr(raw)[2:-1]]
    for escaped in once:  # JSON in JSON, and the repr of a document
        forms += [json.dumps(escaped)[1:-1], json.dumps(escaped, ensure_ascii=False)[1:-1], repr(escaped)[1:-1]]
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.append(encode(raw).decode().rstrip("="))
        for before in range(3):  # bytes of the same group of 3, as in base64 of user:password; likewise after it
            bits = 8 * (before + len(raw))
            forms.append(encode(b"\0" * before + raw).decode()[-(-8 * before // 6) : bits // 6])
    forms += [base64.b32encode(raw).decode().rstrip("="), raw.hex(), raw.hex().upper()]
    forms += [urllib.parse.quote_from_bytes(raw), urllib.parse.quote_from_bytes(raw, safe="")]
    forms.append(urllib.parse.quote_from_bytes(raw, safe=" ").replace(" ", "+"))
    return forms


def _shown(text: str) -> str:
    return printable(redact(text), keep="\n\t")


def install() -> None:
    """Make each log record of this process, of each logger, now and later, pass through `redact` and `printable`.

    So does what ends a thread: Python prints that to standard error, past every logger.
    """
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
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is SystemExit:  # as Python's own
        return
    name = ended.thread.name if ended.thread else "unknown"
    error = ended.exc_value or ended.exc_type()
    log.error("Thread %s ended by an exception.", name, exc_info=(ended.exc_type, error, ended.exc_traceback))


# prctl(2): PR_SET_DUMPABLE. A core_pattern that is a pipe (systemd-coredump) ignores RLIMIT_CORE; this it obeys.
_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Write no core dump of this process, and let no other process attach to it. Best effort; never raises.

    Children inherit the limit alone: a program that they start is dumpable again. Linux has the second half, every
    Unix the first.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
