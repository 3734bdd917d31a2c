"""What the clone's modules are called in the wheel for other programs (package/), and how their imports are told."""

from __future__ import annotations

import ast
import re

NAME = "coreflux_mcp_secrets"

MOVED = {"components": NAME, "settings": f"{NAME}.settings", "tools": f"{NAME}.tools"}
"""What a module is called in the clone, and in the wheel."""

TOOLS = ("lambda_package.py", "steps.py")
"""Of the tools: what makes the package of the functions that rotate on AWS."""

_IMPORT = re.compile(rf"^(\s*)from ({'|'.join(MOVED)})(?=[. ])", re.MULTILINE)


def renamed(text: str) -> str:
    """A module of the clone with the wheel's names in its imports, on the same lines. ValueError: one was missed."""
    text = _IMPORT.sub(lambda found: f"{found[1]}from {MOVED[found[2]]}", text)
    for node in ast.walk(ast.parse(text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if missed := [name for name in names if name.partition(".")[0] in MOVED]:
            raise ValueError(f"import of {missed[0]}: write it as from {missed[0]} import ..., on a line of its own")
    return text
