"""Lays public files down, in a container that runs before the one that reads them.

    python -m secretops.platforms.azure.write_files PATH...

The text of the first file is in the variable FILE_0, of the second in FILE_1. For Container Apps, which mounts files
only as secrets of the app.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from secretops import printable
from secretops.errors import SecretopsError, UsageError

# Bytes of one text: Linux takes 128 KiB of a variable, with its name (execve(2), MAX_ARG_STRLEN).
LIMIT = 120 * 1024


def variable(at: int) -> str:
    """The variable with the text of file `at`, counted from 0."""
    return f"FILE_{at}"


def texts(paths: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    """Path -> text. Raises UsageError for a file whose text nobody gave."""
    missing = [variable(at) for at in range(len(paths)) if variable(at) not in variables]
    if missing or not paths:
        raise UsageError(
            f"no {missing[0]}" if missing else "no file to lay down",
            rule="each path has its text in a variable, FILE_0 the first one's",
            remedy="the stack declares both: pulumi up",
        )
    return {path: variables[variable(at)] for at, path in enumerate(paths)}


def lay_down(paths: Sequence[str], variables: Mapping[str, str]) -> None:
    """Write them. Raises UsageError for what can't be written, too."""
    for path, text in texts(paths, variables).items():
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"{path}: {error.strerror}",
                rule="files are laid down in a volume that the replica's containers share",
                remedy="the stack declares it: pulumi up",
            ) from None


def main() -> None:
    """End with a documented exit code."""
    printable.install()
    try:
        lay_down(sys.argv[1:], os.environ)
    except SecretopsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a container's log
        sys.exit(int(error.exit_code))


if __name__ == "__main__":
    main()
