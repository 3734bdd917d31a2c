"""What the modules of the platforms' folders define. A module is found by its place: a new one is in no list.

RULES: the platform's rules. For rules about every stack, HOLDS: checks that what has secrets, keys or the trail is
protected; IMAGES: checks of containers' images; VALUES: patterns of types that have a value; ENCRYPTED: kinds of store
that encrypt values. For the estimate of cost, PRICES.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any

import policies
from policies.rule import Rule


@cache
def rules() -> tuple[Rule, ...]:
    """Return every rule, by name."""
    return tuple(sorted(defined("RULES"), key=lambda rule: rule.name))


def defined(name: str) -> Iterator[Any]:
    """Yield the members of each constant of this name, in the order of folders and modules."""
    for platform in pkgutil.iter_modules(policies.__path__, "policies."):
        if not platform.ispkg:
            continue
        folder = importlib.import_module(platform.name)
        for module in pkgutil.iter_modules(folder.__path__, f"{platform.name}."):
            yield from getattr(importlib.import_module(module.name), name, ())
