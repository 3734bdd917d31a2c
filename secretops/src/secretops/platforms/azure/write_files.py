"""Write public files for a server in Container Apps, which cannot mount files. Runs in an init container.

    python -m secretops.platforms.azure.write_files PATH...

The text of the first file is in the variable FILE_0, that of the second in FILE_1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from secretops import printable
from secretops.errors import SecretopsError, UsageError

# Bytes of one text: Linux accepts 128 KiB in a variable, with its name (execve(2), MAX_ARG_STRLEN).
LIMIT = 120 * 1024


def variable(at: int) -> str:
    return f"FILE_{at}"


def texts(paths: Sequence[str], variables: Mapping[str, str]) -> dict[str, str]:
    missing = [variable(at) for at in range(len(paths)) if variable(at) not in variables]
    if missing or not paths:
        raise UsageError(
            f"variable {missing[0]} is not set" if missing else "the container has no path of a file as an argument",
            rule="the container's arguments must be paths, and its variables FILE_0, FILE_1, … the texts of these "
            "files",
            remedy="pulumi up, which sets the arguments and the variables",
            code="file-text-missing",
        )
    return {path: variables[variable(at)] for at, path in enumerate(paths)}


def write_files(paths: Sequence[str], variables: Mapping[str, str]) -> None:
    for path, text in texts(paths, variables).items():
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {error.strerror}",
                rule="this container writes the file to a volume, which must be mounted at the file's folder",
                remedy="pulumi up, which mounts the volume",
                code="file-unwritable",
            ) from None


def main() -> None:
    printable.install()
    try:
        write_files(sys.argv[1:], os.environ)
    except SecretopsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a container's log
        sys.exit(int(error.exit_code))


if __name__ == "__main__":
    main()
