from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any


def lazily(package: str, names: Sequence[str], *modules: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for `package` that finds the public `names` in `modules` when they are first used.

    A stack then imports only the SDKs of its own platforms.
    """

    def get(name: str) -> Any:
        for module in modules if name in names else ():
            found = import_module(f".{module}", package)
            if hasattr(found, name):
                return getattr(found, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get
