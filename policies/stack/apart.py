"""Environments are kept apart: what a stack uses is named after it, and nothing after another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, each, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_USERS, _BASE = ("coreflux-mcp", "coreflux-admin"), "coreflux-mcp"
_DIGITS = 6
"""Of a hash at least, in a name that is cut off."""
_ROLE = r"(?:^|:role/(?:[\w+=,./@-]*/)?)(coreflux-mcp-[\w.-]+)@"
_MADE = re.compile(rf"(?:^|:secret:)coreflux-mcp/([\w.-]+)(?:\+\d+)?/|{_ROLE}")
"""The names in AWS that the program makes after a stack, and no team gives: of secrets, and of roles."""


def _look(plan: Plan) -> Iterator[Finding]:
    for secret in each(at(plan.outputs, "secretops", "secrets")):
        yield from judge(
            plan,
            at(secret, "users"),
            lambda users: all(_is_users(str(user), plan.stack) for user in listed(users)),
            "a user of the broker",
            "is not named after the stack: two stacks of one broker would change each other's passwords; name it so",
        )
    plain = re.sub(r"[^a-z0-9]+", "-", plan.stack.lower()).strip("-") or "stack"
    for place in ("mount", "instance"):
        yield from judge(
            plan,
            at(plan.outputs, "secretops", "store", place),
            lambda name: name is None or _is_of(str(name), _BASE, plan.stack) or _is_of(str(name), _BASE, plain),
            f"the store's {place}",
            "is not named after the stack: two stacks would write to one place; take the name that the program makes",
        )
    regional = f"{plan.stack}-{at(plan.outputs, 'secretops', 'store', 'region')}"  # in the names of roles in AWS
    for one in plan.resources:
        if any(stack != plan.stack and not _is_of(role, _BASE, regional) for stack, role in _named(one.properties)):
            yield Finding(one.urn, "names another stack's secret or role: each has its own; take it out")


def _is_users(user: str, stack: str) -> bool:
    """Whether it is one of the two users of a pair of the stack."""
    return user[-2:] in ("-a", "-b") and any(_is_of(user[:-2], base, stack) for base in _USERS)


def _is_of(name: str, base: str, stack: str) -> bool:
    """Whether a name is the stack's: whole, or cut off with a hash of the whole in the place of what is gone."""
    whole = f"{base}-{stack}"
    kept, _, digest = name.rpartition("-")
    plain = re.sub(r"[^a-z0-9-]", "-", whole.lower())
    hashed = hashlib.sha256(whole.encode()).hexdigest()
    cut = len(digest) >= _DIGITS and hashed.startswith(digest) and (whole.startswith(kept) or plain.startswith(kept))
    return name.rstrip("-_.") == whole.rstrip("-_.") or cut


def _named(entry: Any) -> Iterator[tuple[str, str]]:
    """What any text names: a stack by its secrets, or a role. The other of the two is empty."""
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


RULE = Rule(
    name="stack-is-apart",
    sentence="What a stack makes and uses is named after it, and nothing of it is another environment's.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a credential of one environment opens nothing of another"),
        Control(Framework.SOC_2, "CC8.1", "what is tried out is tried out elsewhere"),
        Control(Framework.PCI_DSS, "6.5.3", "what is before production is separated from it"),
        Control(Framework.GDPR, "32(1)(b)", "an accident in one environment stays there"),
    ),
    limitation="That accounts, clusters and brokers are different ones, or that a name which the stack file gives (a"
    " namespace, an image, a topic, a resource group) is not shared: a stack knows its own alone.",
    applies=lambda plan: "secretops" in plan.outputs,
    across=_look,
)
