"""The parts of `make bench`, by their names. Asked before anything is set up: by the standard library alone.

    python3 -m bench.asked [PART ...]

ends with 2, and says why, where one of them is no part.
"""

from __future__ import annotations

import sys
from collections.abc import Collection

NAMES = ("preview", "secrets", "make-up", "status", "rotation", "lambda", "launcher")


def refusal(asked: Collection[str], known: Collection[str] = NAMES) -> str:
    """Of the first that is no part; nothing where there is none."""
    unknown = [name for name in asked if name not in known]
    return f"{unknown[0]}: no part; there are {', '.join(known)}" if unknown else ""


if __name__ == "__main__":
    refused = refusal(sys.argv[1:])
    if refused:
        print(refused, file=sys.stderr)
        sys.exit(2)
