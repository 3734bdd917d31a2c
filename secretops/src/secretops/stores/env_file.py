"""A .env file with public lines that Pulumi writes, secret lines of the rotator, and lines of a person.

python-dotenv parses it, as in the server. An update changes only the lines of its variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from secretops.errors import SecretopsError, UsageError
from secretops.values import Value

HEADER = "# Written by pulumi (addresses, levels) and secretops (values). Lines you add stay.\n"
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_ESCAPES = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v", "\f": r"\f"}

# Limit in bytes. The server parses the file each second, and python-dotenv 1 needs more than a second for 64 KB of
# short lines and 20 s for 1 MB.
MOST_BYTES = 64 * 1024


def decode(path: Path, content: bytes, error: type[SecretopsError], most: int = MOST_BYTES) -> str:
    """Decode a file that the server reads. Raises `error` if it is not UTF-8 or longer than `most` bytes."""
    if len(content) > most:
        what, rule = f"has more than {most} bytes", f"have at most {most} bytes"
        remedy, code = "shorten the file", "too-large"
    else:
        try:
            return content.decode()
        except UnicodeDecodeError as found:
            line = content.count(b"\n", 0, found.start) + 1
            what, rule = f"is not UTF-8 in line {line}", "be UTF-8"
            remedy, code = "write that line as UTF-8", "not-utf-8"
    replace = "; or replace the .env of a store, which moves it to aside/: secretops rotate mqtt --now"
    remedy += replace if path.name == ".env" else ""
    raise error(f"{path} {what}", rule=f"a file that the server reads must {rule}", remedy=remedy, code=f"file-{code}")


def check_text(name: str, text: str) -> None:
    """Raise UsageError for a text that has a NUL or is not UTF-8."""
    try:
        fits = "\0" not in text.encode().decode()
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise UsageError(
            f"{name}: contains a NUL or an unpaired surrogate",
            rule="a secret value must be UTF-8 text without NUL",
            remedy="encode binary data, for example with base64",
            code="value-not-text",
        )


def check_value(secret: str, value: Value) -> None:
    for field, text in value.as_dict().items():
        check_text(f"{secret}.{field}", text)


def quote(text: str) -> str:
    """Return the right-hand side of a line that python-dotenv parses to exactly `text`."""
    if _PLAIN.fullmatch(text):
        return text
    # python-dotenv expands ${…} even in quotes. ${:-$} is a variable with an empty name, which cannot exist, and the
    # default $.
    return '"' + "".join(_ESCAPES.get(char, char) for char in text.replace("${", "${:-$}{")) + '"'


def parse(text: str) -> dict[str, str | None]:
    return dotenv_values(stream=StringIO(text), interpolate=True)


def update(text: str, changes: Mapping[str, str | None]) -> str:
    """Return `text` with each variable of `changes` set, or removed if its value is None. Other lines do not change.

    If a variable has several lines, the last is replaced, and the others are removed.
    """
    bindings = list(parse_stream(StringIO(text)))
    last = {binding.key: at for at, binding in enumerate(bindings) if binding.key in changes}
    lines = []
    for at, binding in enumerate(bindings):
        original = binding.original.string
        if binding.key is None or binding.key not in changes:
            lines.append(original)
            continue
        blank = original[: len(original) - len(original.lstrip("\r\n"))]
        wanted = changes[binding.key]
        lines.append(blank + ("" if wanted is None or at != last[binding.key] else f"{binding.key}={quote(wanted)}\n"))
    new = [f"{key}={quote(wanted)}\n" for key, wanted in changes.items() if wanted is not None and key not in last]
    body = "".join(lines)
    if new and body and not body.endswith("\n"):
        body += "\n"
    return body + "".join(new)
