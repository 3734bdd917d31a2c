"""Evaluate IAM policies within one account, as AWS describes it ("Policy evaluation logic").

It raises for elements that this program does not use.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.unit.aws_arns import ACCOUNT
from tests.unit.harness import Deployed


@dataclass(frozen=True)
class Request:
    """A request. `principal` is an ARN or a service's name. For a token, it is the ARN of the OIDC provider."""

    principal: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def by_service(self) -> bool:
        return not self.principal.startswith("arn:")

    @property
    def keys(self) -> dict[str, str]:
        """Return the condition keys of the request, including those that AWS sets."""
        own = {"aws:PrincipalIsAWSService": str(self.by_service).lower(), "aws:SecureTransport": "true"}
        if not self.by_service:
            own["aws:PrincipalArn"] = self.principal
        return {**own, **self.context}


def is_allowed(request: Request, *, identity: Sequence[Any] = (), resource: Sequence[Any] = ()) -> bool:
    own = [one for one in identity if _asks(one, request)]
    theirs = [one for one in resource if _asks(one, request) and _is_for(one["Principal"], request)]
    if any(one["Effect"] == "Deny" for one in (*own, *theirs)):
        return False
    directly = any(not _is_root(one["Principal"]) for one in theirs)
    if request.action.startswith("kms:"):  # the key's policy decides, and may delegate to the account's policies
        return directly or (bool(theirs) and bool(own))
    if not request.by_service and request.principal.split(":")[4] != ACCOUNT:  # another account's: both must allow it
        return directly and bool(own)
    return bool(own) or directly


def statements(text: str) -> list[Any]:
    document = json.loads(text)
    assert document["Version"] == "2012-10-17"
    return list(document["Statement"])


def roles(deployed: Deployed) -> dict[str, list[Any]]:
    """Map the ARN of each role of the stack to the statements of all its policies."""
    found: dict[str, list[Any]] = {role.inputs["name"]: [] for role in deployed.of_type("aws:iam/role:Role")}
    for policy in deployed.of_type("aws:iam/rolePolicy:RolePolicy"):
        found[policy.inputs["role"]] += statements(policy.inputs["policy"])
    return found


def listed(entry: Any) -> list[Any]:
    return entry if isinstance(entry, list) else [entry]


def _asks(statement: Any, request: Request) -> bool:
    known = {"Sid", "Effect", "Action", "Resource", "Condition", "Principal"}
    assert statement.keys() <= known, statement
    return (
        any(_like(pattern.lower(), request.action.lower()) for pattern in listed(statement["Action"]))
        and any(_like(pattern, request.resource) for pattern in listed(statement["Resource"]))
        and all(_met(*one, request.keys) for one in _conditions(statement))
    )


def _conditions(statement: Any) -> Iterator[tuple[str, str, list[str]]]:
    for operator, keys in statement.get("Condition", {}).items():
        for key, wanted in keys.items():
            yield operator, key, listed(wanted)


def _met(operator: str, key: str, wanted: list[str], keys: Mapping[str, str]) -> bool:
    present = keys.get(key)
    match operator:
        case "StringEquals":
            return present in wanted
        case "StringLike":
            return present is not None and any(_like(one, present) for one in wanted)
        case "Bool":
            return present is not None and present.lower() in [one.lower() for one in wanted]
        case "ArnEquals" | "ArnLike":
            return present is not None and any(_arn_like(one, present) for one in wanted)
        case "ArnNotEquals":  # true as well for a missing key
            return present is None or not any(_arn_like(one, present) for one in wanted)
        case _:
            raise NotImplementedError(operator)


def _is_for(principal: Any, request: Request) -> bool:
    match principal:
        case "*":
            return True
        case {"Service": service, **rest} if not rest:
            return request.by_service and request.principal in listed(service)
        case {"Federated": provider, **rest} if not rest:
            return bool(request.principal == provider)
        case {"AWS": arn, **rest} if not rest:
            account = arn.split(":")[4]
            assert arn.endswith(":root"), arn
            return not request.by_service and request.principal.split(":")[4] == account
        case _:
            raise NotImplementedError(principal)


def _is_root(principal: Any) -> bool:
    return isinstance(principal, dict) and str(principal.get("AWS", "")).endswith(":root")


def _like(pattern: str, text: str) -> bool:
    wild = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(wild, text, re.DOTALL) is not None


def _arn_like(pattern: str, arn: str) -> bool:
    parts, actual = pattern.split(":", 5), arn.split(":", 5)
    return len(parts) == len(actual) and all(_like(one, other) for one, other in zip(parts, actual, strict=True))
