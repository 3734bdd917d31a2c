"""All rules: RULES of the modules in the platforms' folders."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

import policies
from policies.rule import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """Return every rule, by name."""
    return tuple(sorted(_found(), key=lambda rule: rule.name))


def _found() -> Iterator[Rule]:
    for platform in pkgutil.iter_modules(policies.__path__, "policies."):
        if not platform.ispkg:
            continue
        folder = importlib.import_module(platform.name)
        for module in pkgutil.iter_modules(folder.__path__, f"{platform.name}."):
            found = importlib.import_module(module.name)
            yield from getattr(found, "RULES", ())
