"""What is shown to a server, from a file or a variable: one line, which can be in a header and is in no message."""

from __future__ import annotations

from pathlib import Path

from secretops.errors import UsageError
from secretops.redaction import remember


def read(file: str, what: str) -> str:
    """What `file` has, which is `what`. Raises UsageError where nothing can be read."""
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
        why = "is empty"
    except UnicodeDecodeError:
        found, why = "", "is no text"
    except OSError as error:
        found, why = "", error.strerror or type(error).__name__
    if not found:
        raise UsageError(
            f"{file}: {why}",
            rule=f"a program that logs in by itself reads {what} from there",
            remedy="put it there, readable for the account that this runs as alone",
        )
    return checked(found, file)


def checked(text: str, where: str) -> str:
    """`text`, which goes into a header: what can't be in one would be printed by whoever refuses it."""
    remember(text)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(
            f"{where}: what is there is no token",
            rule="a token, a secret id and a JWT are one line of letters, digits and dots",
            remedy="put it there anew",
        )
    return text
