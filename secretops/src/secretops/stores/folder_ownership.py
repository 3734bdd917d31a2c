"""Whose a dotenv store's folder is: the stack that the manifest in it names."""

from __future__ import annotations

import json
from pathlib import Path

from secretops.errors import UsageError

MANIFEST = Path("config") / "secretops.json"


class AnotherStackError(UsageError):
    """The folder is another stack's."""


def stack_of(root: Path) -> str | None:
    """The stack that keeps its values below `root`. None where no manifest says so: new, or a destroyed stack's."""
    try:
        found = json.loads((root / MANIFEST).read_bytes())["stack"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def refuse_another_stack(root: Path, stack: str) -> None:
    """Raise AnotherStackError where `root` is the store of another stack than `stack`."""
    found = stack_of(root)
    if found not in (None, stack):
        raise AnotherStackError(
            f"{root} is the store of stack {found}, and this is stack {stack}",
            rule="a folder holds the values of one stack: a second would write over them, and take them for its own",
            remedy=f"in Pulumi.{stack}.yaml, at store: root: .coreflux-mcp-{stack}; or, if {found} is no more and its "
            f"values are to be {stack}'s: rm {root / MANIFEST}, then pulumi up",
        )
