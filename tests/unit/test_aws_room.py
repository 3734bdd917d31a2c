"""The number of secrets in an AWS stack: the program's policies against AWS's length quotas."""

import json
import re
from bisect import bisect
from collections import defaultdict
from unittest import mock

import pytest

from components.settings.problems import Problem
from components.settings.settings import ConfigurationError
from tests.unit.aws_stack import on_aws
from tests.unit.harness import Deployed

# The SDK's deprecation warnings do not concern these tests.
pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

# Characters of all of a role's inline policies, without white space (AWS, IAM and AWS STS quotas).
ROLE_LIMIT = 10_240

KEY_LIMIT = 32_768  # Bytes of a key's policy (AWS KMS, Resource quotas).


def lengths(deployed: Deployed, kind: str, holder: str) -> dict[str, int]:
    """Return the length of the policies of each `holder`, in characters."""
    found: defaultdict[str, int] = defaultdict(int)
    for one in deployed.of_type(kind):
        found[one.inputs.get(holder, one.name)] += len(
            json.dumps(json.loads(one.inputs["policy"]), separators=(",", ":"))
        )
    return found


def so_many(count: int) -> str:
    return json.dumps({f"extra-{number:04}": {"fields": ["value"], "readers": ["server"]} for number in range(count)})


def refused(count: int) -> Problem | None:
    with mock.patch("tests.unit.aws_stack.deploy", lambda file, stack, **_: file.parse(stack)):
        try:
            on_aws(secrets=so_many(count), into=Deployed())
        except ConfigurationError as error:
            (problem,) = error.problems
            return problem
    return None


def test_the_largest_accepted_stack_keeps_each_role_and_key_below_its_quota() -> None:
    count = bisect(range(100), False, key=lambda count: refused(count) is not None) - 1
    largest, problem = on_aws(secrets=so_many(count)), refused(count + 1)
    assert problem
    roles = lengths(largest, "aws:iam/rolePolicy:RolePolicy", "role")
    tick = max(roles.values())
    assert tick <= ROLE_LIMIT
    assert roles[next(role for role in roles if "tick" in role)] == tick, "no role has more than the counted one"
    assert max(lengths(largest, "aws:kms/key:Key", "").values()) <= KEY_LIMIT
    assert problem.what.startswith(f"secrets: {count + 1} secrets")
    one_more = max(int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", problem.rule)) - tick
    assert 0 < ROLE_LIMIT - tick < one_more, "one secret more would not have fitted"
