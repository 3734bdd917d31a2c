"""Policy documents as rules read them. IAM knows no case in actions and in the names of conditions; so doesn't this."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.matchers import at
from policies.plan import UNKNOWN, Finding, Resource

POSITIVE = ("StringEquals", "StringLike", "ArnEquals", "ArnLike")
"""Operators that name who is meant, and not who isn't."""

Conditions = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Operator -> name, in small letters -> what it is compared with."""

ACCOUNT_AT = 4
"""Which part of an ARN is its account."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One statement."""

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: Mapping[str, tuple[str, ...]]
    """Kind -> who, as AWS, Service, Federated; `*` has whoever is named by no kind."""
    conditions: Conditions
    negated: bool
    """Whether it is about all but what it names: NotAction, NotResource, NotPrincipal."""

    def compared(self, operator: str, name: str) -> tuple[str, ...]:
        """What a name of the request's context is compared with by `operator`."""
        return self.conditions.get(operator, {}).get(name.lower(), ())

    def is_of(self, action: str) -> bool:
        """Whether it is about that action."""
        wanted = action.lower()
        return any(one in ("*", wanted, f"{wanted.partition(':')[0]}:*") for one in self.actions)

    def is_bound_by(self, *names: str) -> bool:
        """Whether what begins with one of `names`, in small letters, has to be something narrow."""
        found = [
            wanted
            for operator in POSITIVE
            for name, wanted in self.conditions.get(operator, {}).items()
            if name.startswith(names)
        ]
        return any(wanted and all(map(narrow, wanted)) for wanted in found)

    @property
    def is_for_everybody(self) -> bool:
        """Let in by any kind of `*`. What is denied to every service of AWS is denied to nobody else."""
        kinds = self.principals if self.allows else ("*", "AWS")
        return any("*" in self.principals.get(kind, ()) for kind in kinds)


def narrow(entry: Any) -> bool:
    """Whether a pattern names something: an ARN its account, any other text how it begins."""
    if not isinstance(entry, str):
        return False
    parts = entry.split(":")
    if parts[0] != "arn":
        return entry[:1] not in ("", "*", "?")
    return len(parts) > ACCOUNT_AT and re.fullmatch(r"\d{12}", parts[ACCOUNT_AT]) is not None


def wildcard(text: str) -> bool:
    """Whether it is a pattern."""
    return "*" in text or "?" in text


def statements(document: Any) -> tuple[Statement, ...] | None:
    """Those of a document; None of what is none."""
    try:
        told = json.loads(document)["Statement"]
        return tuple(_statement(one) for one in (told if isinstance(told, list) else [told]))
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def judge_document(of: Resource, path: str, wrong: Callable[[Sequence[Statement]], Iterator[str]]) -> Iterator[Finding]:
    """What is `wrong` with the document that is the property at `path`."""
    document = at(of.properties, path)
    if document is UNKNOWN:
        yield Finding(of.urn, "what its policy says is known after pulumi up", unknown=True)
        return
    found = statements(document)
    told = wrong(found) if found is not None else iter(("its policy is no document of IAM; write it as JSON",))
    yield from (Finding(of.urn, one) for one in told)


def _statement(told: Any) -> Statement:
    principal = told.get("Principal", {})
    return Statement(
        allows={"Allow": True, "Deny": False}[told["Effect"]],
        actions=tuple(one.lower() for one in _texts(told.get("Action", []))),
        resources=_texts(told.get("Resource", [])),
        principals={kind: _texts(who) for kind, who in principal.items()}
        if isinstance(principal, Mapping)
        else {"*": _texts(principal)},
        conditions={
            operator: {name.lower(): _compared(wanted) for name, wanted in names.items()}
            for operator, names in told.get("Condition", {}).items()
        },
        negated=any(name.startswith("Not") for name in told),
    )


def _compared(entry: Any) -> tuple[str, ...]:
    """With what a condition compares. IAM takes a number and a boolean for its text."""
    found = entry if isinstance(entry, list) else [entry]
    return _texts([json.dumps(one) if isinstance(one, int) else one for one in found])


def _texts(entry: Any) -> tuple[str, ...]:
    """One text or several. Raises TypeError for anything else."""
    found = entry if isinstance(entry, list) else [entry]
    if not all(isinstance(one, str) for one in found):
        raise TypeError
    return tuple(found)
