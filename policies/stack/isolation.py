"""Check whether a name belongs to this stack or to another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from policies.matchers import at, each, judge, listed
from policies.plan import Finding, Plan, Resource

_USERS, _BASE = ("coreflux-mcp", "coreflux-admin"), "coreflux-mcp"
# Minimum number of digits of the hash at the end of a shortened name.
_DIGITS = 6
_ROLE = r"(?:^|:role/(?:[\w+=,./@-]*/)?)(coreflux-mcp-[\w.-]+)@"
# Names of secrets and roles in AWS that the program derives from a stack's name.
_MADE = re.compile(rf"(?:^|:secret:)coreflux-mcp/([\w.-]+)(?:\+\d+)?/|{_ROLE}")


def look_at_names(plan: Plan) -> Iterator[Finding]:
    store = at(plan.outputs, "secretops", "store")
    for secret in each(at(plan.outputs, "secretops", "secrets")):
        wrong = "has a user of the broker that another stack may rotate; use the names that the program derives"
        yield from judge(plan, at(secret, "users"), partial(_are_users, plan.stack), "secrets[].users", wrong)
    plain = re.sub(r"[^a-z0-9]+", "-", plan.stack.lower()).strip("-") or "stack"
    for place in ("mount", "instance"):
        wrong = "is not named after the stack, so two stacks could write there; use the name that the program derives"
        yield from judge(plan, at(store, place), partial(_is_place, (plan.stack, plain)), f"store.{place}", wrong)
    regional = f"{plan.stack}-{at(store, 'region')}"  # names of roles in AWS contain the region
    for one in plan.resources:
        if any(role and not _is_of(role, _BASE, regional) for _, role in _named(one.properties)):
            yield Finding(one.urn, "names another stack's role; use the stack's own")


def look_at_secrets(one: Resource) -> Iterator[Finding]:
    own = one.urn.split(":", 3)[2]
    if any(stack not in ("", own) for stack, _ in _named(one.properties)):
        yield Finding(one.urn, "names another stack's secret; use the stack's own")


def _is_place(stacks: tuple[str, ...], name: Any) -> bool:
    return name is None or any(_is_of(str(name), _BASE, stack) for stack in stacks)


def _are_users(stack: str, users: Any) -> bool:
    names = [str(user) for user in listed(users)]
    return all(name[-2:] in ("-a", "-b") and any(_is_of(name[:-2], base, stack) for base in _USERS) for name in names)


def _is_of(name: str, base: str, stack: str) -> bool:
    """Return whether `name` consists of `base` and `stack`, in full, or shortened with a hash of both at its end."""
    whole = f"{base}-{stack}"
    start, _, digest = name.rpartition("-")
    plain = re.sub(r"[^a-z0-9-]", "-", whole.lower())
    hashed = hashlib.sha256(whole.encode()).hexdigest()
    is_cut = len(digest) >= _DIGITS and hashed.startswith(digest)
    is_start = whole.startswith(start) or plain.startswith(start)
    return name.rstrip("-_.") == whole.rstrip("-_.") or (is_cut and is_start)


def _named(entry: Any) -> Iterator[tuple[str, str]]:
    """Yield (stack, role) for each secret or role that a text names; one of the two is empty."""
    match entry:
        case str():
            yield from _MADE.findall(entry)
        case Mapping():
            for key, inner in entry.items():
                yield from _named(key)
                yield from _named(inner)
        case list():
            for inner in entry:
                yield from _named(inner)
