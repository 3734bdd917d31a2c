"""How many secrets a stack of AWS may have: what the program really makes, against AWS' quotas of a policy's length."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from unittest import mock

import pytest

from components.problems import Problem
from settings import ConfigurationError
from tests.unit.aws_stack import on_aws
from tests.unit.harness import Deployed

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
"""The SDK warns of what nobody here uses."""

ROLE_LIMIT = 10_240
"""Characters of all of a role's inline policies, white space left out (AWS, IAM and AWS STS quotas)."""

KEY_LIMIT = 32_768
"""Bytes of a key's policy (AWS KMS, Resource quotas)."""

VPC = "vpc: {subnets: [subnet-0123456789abcdef0], security_groups: [sg-0123456789abcdef1], way_out: WAY}"

KINDS: dict[str, Callable[..., Deployed]] = {
    "ecs": on_aws,
    "a-ca-of-its-own-and-a-gateway": partial(
        on_aws,
        f", {VPC.replace('WAY', 'nat-0123456789abcdef0')}, replicas: [eu-west-1, eu-north-1]",
        ", reference: Fetched, replicas: 1",
        ", client_certificate: true",
        issuer="{kind: private-ca}",
    ),
}


def lengths(texts: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Of each holder's policies together, without white space: no name in them has any."""
    found: defaultdict[str, int] = defaultdict(int)
    for holder, text in texts:
        found[holder] += len(json.dumps(json.loads(text), separators=(",", ":")))
    return found


def of_roles(deployed: Deployed) -> dict[str, int]:
    every = deployed.of_type("aws:iam/rolePolicy:RolePolicy")
    return lengths((one.inputs["role"], one.inputs["policy"]) for one in every)


def of_keys(deployed: Deployed) -> dict[str, int]:
    return lengths((one.name, one.inputs["policy"]) for one in deployed.of_type("aws:kms/key:Key"))


def so_many(count: int, reader: str) -> str:
    every = (f"extra-{number:04}" for number in range(count))
    return json.dumps({name: {"fields": ["value"], "readers": [reader]} for name in every})


def most(deploy: Callable[..., Deployed], reader: str) -> tuple[int, Deployed, Problem]:
    """The largest stack that is taken, and why one secret more is not."""
    low, high, told = 0, 100, None
    while high - low > 1:
        count = (low + high) // 2
        if found := refused(deploy, so_many(count, reader)):
            told, high = found, count
        else:
            low = count
    assert told
    return low, deploy(secrets=so_many(low, reader)), told


def refused(deploy: Callable[..., Deployed], secrets: str) -> Problem | None:
    """Why the stack file is refused; none is deployed."""
    with mock.patch("tests.unit.aws_stack.deploy", lambda file, stack, **_: file.parse(stack)):
        try:
            deploy(secrets=secrets, into=Deployed())
        except ConfigurationError as error:
            (problem,) = error.problems
            return problem
    return None


@pytest.mark.parametrize("kind", ["ecs", pytest.param("a-ca-of-its-own-and-a-gateway", marks=pytest.mark.slow)])
def test_the_largest_stack_that_is_taken_keeps_each_role_and_key_below_its_quota_and_one_secret_more_is_refused(
    kind: str,
) -> None:
    count, largest, problem = most(KINDS[kind], "server" if kind == "ecs" else "rotator")
    roles = of_roles(largest)
    tick = max(roles.values())
    assert count > 10
    assert tick <= ROLE_LIMIT
    assert roles[next(role for role in roles if "tick" in role)] == tick, (
        "no role has more than the one that is counted"
    )
    assert max(of_keys(largest).values()) <= KEY_LIMIT
    assert problem.what.startswith(f"secrets: {count + 1} of them")
    one_more = int(problem.rule.rpartition(" ")[2].replace(",", "")) - tick
    assert 0 < ROLE_LIMIT - tick < one_more, "one secret more would not have fitted"


def test_replicas_that_leave_no_room_are_refused_by_their_number() -> None:
    replicas = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-west-3", "eu-north-1"]
    replicas += ["eu-south-1", "ap-south-1", "ap-east-1", "sa-east-1", "ca-central-1", "me-south-1", "af-south-1"]
    with pytest.raises(ConfigurationError) as caught:
        on_aws(f", replicas: [{', '.join(replicas)}]")
    (problem,) = caught.value.problems
    assert problem.what == "secrets: 0 of them, with 15 replicas"
    assert problem.remedy.startswith("take a replica out")
