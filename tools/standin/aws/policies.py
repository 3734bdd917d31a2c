"""IAM policy documents and their statements (IAM user guide, policy grammar).

This checks their form. Tests evaluate what a policy allows.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from tools.standin.aws.actions import KnownAction
from tools.standin.problems import MISSING, Problem
from tools.standin.sdk_types import did_you_mean
from tools.standin.wire import UNKNOWNS, is_unknown

# Kinds of policies. Their statements have a Resource; a Principal and a Resource; or a Principal.
IDENTITY, RESOURCE, TRUST = "identity", "resource", "trust"

DOCUMENTS: Mapping[str, Mapping[str, str]] = {
    "aws:iam/role:Role": {"assumeRolePolicy": TRUST},
    "aws:iam/rolePolicy:RolePolicy": {"policy": IDENTITY},
    "aws:iam/policy:Policy": {"policy": IDENTITY},
    "aws:secretsmanager/secret:Secret": {"policy": RESOURCE},
    "aws:secretsmanager/secretPolicy:SecretPolicy": {"policy": RESOURCE},
    "aws:kms/key:Key": {"policy": RESOURCE},
    "aws:kms/replicaKey:ReplicaKey": {"policy": RESOURCE},
    "aws:kms/keyPolicy:KeyPolicy": {"policy": RESOURCE},
    "aws:s3/bucketPolicy:BucketPolicy": {"policy": RESOURCE},
    "aws:sns/topicPolicy:TopicPolicy": {"policy": RESOURCE},
    "aws:sqs/queuePolicy:QueuePolicy": {"policy": RESOURCE},
    "aws:ec2/vpcEndpoint:VpcEndpoint": {"policy": RESOURCE},
}

# Maximum bytes of a document. IAM does not count white space; other services do.
SIZES: Mapping[tuple[str, str], int] = {
    # IAM user guide, IAM and AWS STS quotas. The quota is for all inline policies of a role; here it limits each
    # policy.
    ("aws:iam/rolePolicy:RolePolicy", "policy"): 10240,
    ("aws:iam/policy:Policy", "policy"): 6144,
    # Secrets Manager user guide, quotas: resource-based policy (and PutResourcePolicy in botocore).
    ("aws:secretsmanager/secret:Secret", "policy"): 20480,
    ("aws:secretsmanager/secretPolicy:SecretPolicy", "policy"): 20480,
    # KMS developer guide, resource quotas: key policy document size.
    ("aws:kms/key:Key", "policy"): 32768,
    ("aws:kms/replicaKey:ReplicaKey", "policy"): 32768,
    ("aws:kms/keyPolicy:KeyPolicy", "policy"): 32768,
    # S3 user guide, bucket policies: 20 KB.
    ("aws:s3/bucketPolicy:BucketPolicy", "policy"): 20480,
    # SQS developer guide, policy quotas.
    ("aws:sqs/queuePolicy:QueuePolicy", "policy"): 8192,
}

_TOP = frozenset({"Version", "Id", "Statement"})
_STATEMENT = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)

# IAM user guide, Principal: forms by kind.
_PRINCIPALS: Mapping[str, tuple[str, str]] = {
    "AWS": (
        r"\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::(\d{12}|cloudfront):.+",
        "an account number, the ARN of a role or user, or *",
    ),
    "Service": (r"[a-z0-9.-]+\.amazonaws\.com(\.cn)?", "a service, such as lambda.amazonaws.com"),
    "Federated": (r".+", "an identity provider"),
    "CanonicalUser": (r"[0-9a-f]{64}", "64 hexadecimal digits"),
}

# IAM user guide, Resource: an ARN, with wildcards, or all.
_ARN = r"\*|arn:(aws[a-z-]*|\*):[a-z0-9*-]+:[a-z0-9*-]*:(\d{12}|\*|aws|):.+"

_COMPARED = ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")
# IAM user guide, Condition operators. All but Null allow IfExists, ForAllValues: and ForAnyValue:.
_OPERATORS = frozenset(
    [
        *(f"String{how}" for how in ("Equals", "NotEquals", "Like", "NotLike")),
        *("StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"),
        *(f"{kind}{how}" for kind in ("Numeric", "Date") for how in _COMPARED),
        *(f"Arn{how}" for how in ("Equals", "NotEquals", "Like", "NotLike")),
        *("Bool", "BinaryEquals", "IpAddress", "NotIpAddress", "Null"),
    ]
)


def problems(token: str, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    for name, kind in DOCUMENTS.get(token, {}).items():
        given = inputs.get(name)
        if given is None or is_unknown(given):
            continue
        if isinstance(given, str):
            if any(word in given for word in UNKNOWNS):
                continue
            yield from _size(given, token, name)
            try:
                given = json.loads(given)
            except ValueError as error:
                yield Problem(
                    at=name,
                    value=given,
                    rule=f"a policy must be JSON ({error})",
                    remedy="write the policy with json.dumps",
                )
                continue
        yield from _document(given, kind, name)


def _size(text: str, token: str, name: str) -> Iterator[Problem]:
    counted = re.sub(r"\s", "", text) if token.startswith("aws:iam/") else text
    size, most = len(counted.encode()), SIZES.get((token, name))
    if most is not None and size > most:
        remedy = (
            "shorten the policy, or move statements to an aws.iam.Policy"
            if token.startswith("aws:iam/")
            else "shorten the policy"
        )
        yield Problem(name, f"{size} bytes", f"AWS accepts at most {most} bytes here", remedy)


def _document(given: Any, kind: str, at: str) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        yield Problem(at, given, "a policy must be a JSON object", "write Version and Statement")
        return
    yield from _unknown(given, _TOP, at)
    if given.get("Version") not in ("2012-10-17", "2008-10-17"):
        yield Problem(
            f"{at}.Version",
            given.get("Version", MISSING),
            "a policy must have a version of the policy language",
            "write 2012-10-17",
        )
    statements = given.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed:
        yield Problem(
            f"{at}.Statement",
            listed,
            "a policy must have at least one statement",
            "add a statement, or remove the policy",
        )
    for index, statement in enumerate(listed):
        place = f"{at}.Statement[{index}]"
        if isinstance(statement, Mapping):
            yield from _statement(statement, kind, place)
        elif not is_unknown(statement):
            yield Problem(place, statement, "a statement must be an object", "write Effect and Action")
    if kind != RESOURCE:
        yield from _sids([one for one in listed if isinstance(one, Mapping)], at)


def _sids(statements: list[Mapping[str, Any]], at: str) -> Iterator[Problem]:
    # Letters and digits, and unique (IAM user guide, Sid). Services other than IAM allow more.
    times = Counter(str(one.get("Sid", "")) for one in statements)
    for index, statement in enumerate(statements):
        sid = str(statement.get("Sid", ""))
        if not re.fullmatch(r"[A-Za-z0-9]*", sid):
            yield Problem(
                f"{at}.Statement[{index}].Sid",
                sid,
                "IAM accepts only letters and digits",
                "remove all other characters",
            )
        elif sid and times[sid] > 1:
            yield Problem(f"{at}.Statement[{index}].Sid", sid, "each Sid must be unique", "change one of the two")


def _statement(statement: Mapping[str, Any], kind: str, at: str) -> Iterator[Problem]:
    yield from _unknown(statement, _STATEMENT, at)
    if statement.get("Effect") not in ("Allow", "Deny"):
        yield Problem(
            f"{at}.Effect", statement.get("Effect", MISSING), "a statement must allow or deny", "write Allow or Deny"
        )
    needed = {"Action": True, "Resource": kind != TRUST, "Principal": kind != IDENTITY}
    for name, is_needed in needed.items():
        given = [one for one in (name, f"Not{name}") if one in statement]
        if is_needed and not given:
            yield Problem(
                f"{at}.{name}", MISSING, f"a statement in a policy of kind {kind} must have {name}", f"add {name}"
            )
        elif not is_needed and given:
            yield Problem(
                f"{at}.{given[0]}",
                statement[given[0]],
                f"a policy of kind {kind} must not have {given[0]}",
                f"remove {given[0]}",
            )
        elif len(given) > 1:
            yield Problem(
                f"{at}.{given[1]}",
                statement[given[1]],
                f"the statement already has {name}",
                f"remove {name} or {given[1]}",
            )
        for one in given:
            if one.endswith("Principal"):
                yield from _principal(statement[one], f"{at}.{one}")
            else:
                yield from _texts(statement[one], one, kind, f"{at}.{one}")
    yield from _conditions(statement.get("Condition", {}), f"{at}.Condition")


def _texts(given: Any, name: str, kind: str, at: str) -> Iterator[Problem]:
    listed = given if isinstance(given, list) else [given]
    if not listed or not all(isinstance(one, str) for one in listed):
        yield Problem(at, given, f"{name} must be a text or a list of texts", "write at least one text")
        return
    for one in listed:
        if name in ("Resource", "NotResource") and not re.fullmatch(_ARN, one):
            yield Problem(at, one, "a resource must be an ARN or *", "write the resource's ARN")
        if name in ("Action", "NotAction") and (wrong := KnownAction().problem(one)):
            yield Problem(at, one, *wrong)
        elif name == "Action" and kind == TRUST and not one.lower().startswith("sts:"):
            yield Problem(at, one, "a trust policy may only allow actions of STS", "write sts:AssumeRole")


def _principal(given: Any, at: str) -> Iterator[Problem]:
    if given == "*":
        return
    if not isinstance(given, Mapping) or not given:
        yield Problem(at, given, "a principal must be * or an object", 'write {"AWS": …} or {"Service": …}')
        return
    yield from _unknown(given, frozenset(_PRINCIPALS), at)
    for of, named in given.items():
        listed = named if isinstance(named, list) and named else [named]
        form, words = _PRINCIPALS.get(of, (".*", ""))
        for one in listed:
            if words and not (isinstance(one, str) and re.fullmatch(form, one)):
                yield Problem(f"{at}.{of}", one, f"the principal must be {words}", "write the principal in this form")


def _conditions(given: Any, at: str) -> Iterator[Problem]:
    if not isinstance(given, Mapping):
        yield Problem(at, given, "a condition must be an object", "write {operator: {key: value}}")
        return
    for operator, keys in given.items():
        bare = re.sub(r"^(ForAllValues|ForAnyValue):", "", operator)
        bare = bare if bare == "NullIfExists" else bare.removesuffix("IfExists")
        if bare not in _OPERATORS:
            yield Problem(f"{at}.{operator}", keys, "IAM has no operator of this name", did_you_mean(bare, _OPERATORS))
        elif not isinstance(keys, Mapping):
            yield Problem(
                f"{at}.{operator}",
                keys,
                "a condition operator must have an object of keys and values",
                "write {key: value}",
            )
        for key in keys if isinstance(keys, Mapping) else ():
            if ":" not in key:
                yield Problem(
                    f"{at}.{operator}.{key}", key, "a condition key must have a prefix", "write aws:KEY, or SERVICE:KEY"
                )


def _unknown(given: Mapping[str, Any], known: frozenset[str], at: str) -> Iterator[Problem]:
    for name in given:
        if name not in known:
            yield Problem(
                f"{at}.{name}", given[name], "the policy language has no key of this name", did_you_mean(name, known)
            )
