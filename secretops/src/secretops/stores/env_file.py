"""A .env file that several hands keep: Pulumi its public lines, the rotator its secret ones, a person their own.

Read with python-dotenv, as the server reads it; changed line by line, so that everything else stays as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream

from secretops.errors import SecretopsError, UsageError
from secretops.values import Value

HEADER = "# Kept by pulumi (addresses, levels) and secretops (values). Lines you add stay.\n"
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\f": r"\f"}

# Bytes of a .env file. python-dotenv 1 needs more than a second for 64 KB with short lines, 20 s for 1 MB, and a server
# reads the file each second.
MOST_BYTES = 64 * 1024


def decode(path: Path, content: bytes, error: type[SecretopsError], most: int = MOST_BYTES) -> str:
    """Return the text of a file that the server reads. Raises `error` for more than `most` bytes and text not UTF-8."""
    if len(content) > most:
        what, rule, remedy = f"has more than {most} bytes", f"of at most {most} bytes", "shorten it"
    else:
        try:
            return content.decode()
        except UnicodeDecodeError as found:
            line = content.count(b"\n", 0, found.start) + 1
            what, rule, remedy = f"is not UTF-8 in line {line}", "that is UTF-8", "write that line as UTF-8"
    salvage = "; or secretops rotate mqtt --now, which rewrites the .env of a store and keeps a copy in aside/"
    remedy += salvage if path.name == ".env" else ""
    raise error(f"{path} {what}", rule=f"the server reads a file {rule}", remedy=remedy)


def check_text(name: str, text: str) -> None:
    """Raise UsageError for text that no .env line can carry: a NUL, or what is not UTF-8."""
    try:
        carried = "\0" not in text.encode().decode()
    except UnicodeEncodeError:
        carried = False
    if not carried:
        raise UsageError(
            f"{name}: a NUL or an unpaired surrogate",
            rule="a value is UTF-8 text without NUL",
            remedy="encode binary data, for example with base64",
        )


def check_value(secret: str, value: Value) -> None:
    """Raise UsageError for a value with text that no .env line can carry."""
    for field, text in value.as_dict().items():
        check_text(f"{secret}.{field}", text)


def quote(text: str) -> str:
    """Return the right-hand side of a line that python-dotenv reads back to exactly `text`.

    Double quotes with escapes. python-dotenv expands `${…}` even within quotes and knows no escape for it, but
    `${:-$}` names the variable "", which cannot exist, and defaults to "$".
    """
    if _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(_ESCAPES.get(char, char) for char in text.replace("${", "${:-$}{")) + '"'


def parse(text: str) -> dict[str, str | None]:
    return dotenv_values(stream=StringIO(text), interpolate=True)


def update(text: str, changes: Mapping[str, str | None]) -> str:
    """Return `text` with each variable of `changes` set, or removed for None.

    An existing variable keeps its last place, which is what counts; a new one comes at the end. Every other line,
    comments and lines that do not parse included, stays byte for byte.
    """
    bindings: list[Binding] = list(parse_stream(StringIO(text)))
    last = {binding.key: at for at, binding in enumerate(bindings) if binding.key in changes}
    lines = []
    for at, binding in enumerate(bindings):
        if binding.key is None or binding.key not in changes:
            lines.append(binding.original.string)
            continue
        original = binding.original.string
        blank = original[: len(original) - len(original.lstrip("\r\n"))]
        wanted = changes[binding.key]
        lines.append(blank + ("" if wanted is None or at != last[binding.key] else f"{binding.key}={quote(wanted)}\n"))
    new = [f"{key}={quote(wanted)}\n" for key, wanted in changes.items() if wanted is not None and key not in last]
    body = "".join(lines)
    if new and body and not body.endswith("\n"):
        body += "\n"
    return body + "".join(new)
