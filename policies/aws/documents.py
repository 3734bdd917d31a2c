"""Read AWS' policies, container definitions and ARNs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from policies import aws
from policies.matchers import at, require, with_name
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Each

Judge = Callable[[Plan], Iterator[Finding]]
TASK = "aws:ecs/taskDefinition:TaskDefinition"

# Condition operators that list accepted values, not excluded values.
POSITIVE = ("StringEquals", "StringLike", "ArnEquals", "ArnLike")
_NARROW = re.compile(r"arn(:[^:]*){3}:\d{12}(:.*)?|(?!arn(:|$))[^*?].*")
# Elements of a policy statement in IAM. A statement with other keys, such as `action`, can't be judged.
_ELEMENTS = {
    "Sid",
    "Effect",
    "Condition",
    *(no + one for one in ("Principal", "Action", "Resource") for no in ("", "Not")),
}
# Secrets Manager ends an ARN with a dash and six random characters.
_SECRET_ARN = re.compile(r":secret:(.+)-[A-Za-z0-9]{6}$")


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement of an IAM policy. Actions and condition names are in lower case: IAM ignores case."""

    allows: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    principals: Mapping[str, tuple[str, ...]]
    """Principals by kind: AWS, Service, Federated, or `*` if the policy names no kind."""
    conditions: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Accepted values, by condition operator and condition name."""
    negated: bool
    """Whether the statement contains NotAction, NotResource or NotPrincipal."""

    def compared(self, operator: str, name: str) -> tuple[str, ...]:
        """Return the values that the condition `operator` on `name` accepts; none without such a condition."""
        return self.conditions.get(operator, {}).get(name.lower(), ())

    def is_of(self, action: str) -> bool:
        wanted = action.lower()
        return any(one in ("*", wanted, f"{wanted.partition(':')[0]}:*") for one in self.actions)

    def is_bound_by(self, *prefixes: str) -> bool:
        """Return whether a condition whose name starts with one of `prefixes` accepts only text without wildcards, or
        ARNs of one account."""
        found = [
            wanted
            for operator in POSITIVE
            for name, wanted in self.conditions.get(operator, {}).items()
            if name.startswith(prefixes)
        ]
        return any(wanted and all(map(narrow, wanted)) for wanted in found)

    @property
    def is_for_everybody(self) -> bool:
        """Return whether `*` is a principal. In a deny statement, it counts only without a kind or for the kind AWS."""
        kinds = self.principals if self.allows else ("*", "AWS")
        return any("*" in self.principals.get(kind, ()) for kind in kinds)


def narrow(entry: Any) -> bool:
    return isinstance(entry, str) and _NARROW.fullmatch(entry) is not None


def wildcard(text: str) -> bool:
    return "*" in text or "?" in text


def statements(document: Any) -> tuple[Statement, ...] | None:
    """Return a policy's statements; None if it is unknown or not a policy."""
    try:
        found = json.loads(document)["Statement"]
        return tuple(_statement(one) for one in (found if isinstance(found, list) else [found]))
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def policy_check(
    types: str | tuple[str, ...], wrong: Callable[[Sequence[Statement]], Iterator[str]], path: str = "policy"
) -> Each:
    """Return a check of the policy at `path`. `wrong` yields the problems of its statements."""

    def judge(one: Resource) -> Iterator[Finding]:
        document = at(one.properties, path)
        if document is UNKNOWN:
            yield Finding(one.urn, f"{path} is known after pulumi up", unknown=True)
            return
        found = statements(document)
        broken = wrong(found) if found is not None else iter(("is not an IAM policy; write the policy as JSON",))
        yield from (Finding(one.urn, f"{path} {message}") for message in broken)

    return Each(types, judge)


def containers(task: Resource) -> list[Any] | None:
    """Return the containers of a task definition; None if they are unknown or no list."""
    try:
        found = json.loads(at(task.properties, "containerDefinitions"))
    except (TypeError, ValueError):
        return None
    return found if isinstance(found, list) else None


def no_containers(task: Resource) -> Finding:
    unknown = at(task.properties, "containerDefinitions") is UNKNOWN
    wrong = "is known after pulumi up" if unknown else "is not a list; write the containers as a JSON list"
    return Finding(task.urn, f"containerDefinitions {wrong}", unknown=unknown)


def container_check(judge: Callable[[Resource, Any, str], Iterator[Finding]]) -> Each:
    """Return a check of each container. `judge` gets the task definition, the container, and its name for messages."""

    def judge_task(task: Resource) -> Iterator[Finding]:
        found = containers(task)
        if found is None:
            yield no_containers(task)
        for one in found or ():
            yield from judge(task, one, f"container {at(one, 'name')}:")

    return Each(TASK, judge_task)


def secret_name(arn: Any) -> str | None:
    found = _SECRET_ARN.search(arn) if isinstance(arn, str) else None
    return found[1] if found else None


def without(plan: Plan, kind: str, path: str, names: Iterable[str]) -> list[str]:
    """Return the secrets in `names` whose ARN is in the property `path` of no resource of type `kind`.

    In a preview, an unknown ARN may be that of one of these secrets. Return none unless there are more of them than
    unknown ARNs; `pulumi up` judges by the real ARNs.
    """
    arns = [at(one.properties, path) for one in plan.of_type(kind)]
    left = sorted(set(names) - {secret_name(arn) for arn in arns})
    return left if len(left) > arns.count(UNKNOWN) else []


def needs(kind: str, what: str, wrong: str, *, of: str = aws.STORE, by: str = "") -> Judge:
    """Return a check of the plan that requires a resource of type `kind` for each resource of type `of`. With `by`,
    both must have the same value of that property."""

    def judge(plan: Plan) -> Iterator[Finding]:
        for one in plan.of_type(of):
            found = with_name(plan, kind, by, name=at(one.properties, by)) if by else list(plan.of_type(kind))
            yield from require(one, found, what, wrong)

    return judge


def every(*judges: Judge) -> Judge:
    return lambda plan: chain.from_iterable(judge(plan) for judge in judges)


def _statement(entry: Any) -> Statement:
    if entry.keys() - _ELEMENTS:
        raise KeyError
    principal = entry.get("Principal", {})
    return Statement(
        allows={"Allow": True, "Deny": False}[entry["Effect"]],
        actions=tuple(one.lower() for one in _texts(entry.get("Action", []))),
        resources=_texts(entry.get("Resource", [])),
        principals={kind: _texts(who) for kind, who in principal.items()}
        if isinstance(principal, Mapping)
        else {"*": _texts(principal)},
        conditions={
            operator: {name.lower(): _compared(wanted) for name, wanted in names.items()}
            for operator, names in entry.get("Condition", {}).items()
        },
        negated=any(name.startswith("Not") for name in entry),
    )


def _compared(entry: Any) -> tuple[str, ...]:
    found = entry if isinstance(entry, list) else [entry]
    return _texts([json.dumps(one) if isinstance(one, int) else one for one in found])


def _texts(entry: Any) -> tuple[str, ...]:
    found = entry if isinstance(entry, list) else [entry]
    if not all(isinstance(one, str) for one in found):
        raise TypeError
    return tuple(found)
