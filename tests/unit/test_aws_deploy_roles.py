"""What `pulumi up` and drift may do with each resource of the stack, by the calls of terraform-provider-aws.

docs/operations/aws-provider-calls.txt lists the calls with the files that make them, below internal/service in
github.com/hashicorp/terraform-provider-aws. Its issue 46202: since 6.23 ListTagsForResource reads a bucket's tags.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.aws_arns import ACCOUNT, arn_of
from tests.unit.aws_stack import prod, with_every_option
from tests.unit.harness import Registered
from tests.unit.iam import Request, is_allowed, statements

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/deployer"
MOST = 10_240  # Characters of a role's inline policies, without white space (AWS, IAM quotas).

CALLS = dict(
    line.split(": ", 1) for line in (OPERATIONS / "aws-provider-calls.txt").read_text().splitlines()[1:]
)  # Type: the source file, and the actions of its read, then of its create, update and delete.
# Where the service's prefix in IAM is not the type's.
PREFIXES = {"lb": "elasticloadbalancing", "cloudwatch/log": "logs", "cloudwatch/event": "events"}
BY_TAG = {"aws:ResourceTag/project": "coreflux-mcp-secrets", "aws:RequestTag/project": "coreflux-mcp-secrets"}


def policy(name: str) -> list[Any]:
    return statements((OPERATIONS / f"{name}-role.json").read_text())


def place(resource: Registered) -> str:
    """The ARN that IAM asks about for a resource: its own, or that of what it belongs to."""
    kind, given = resource.type.removeprefix("aws:"), resource.inputs
    owner = next((given[key] for key in ("secretArn", "secretId", "topic") if key in given), None)
    if owner or kind == "sns/topicPolicy:TopicPolicy":
        return str(owner or given["arn"])
    return arn_of(resource.type, resource.name, given)


def key_policy(resource: Registered) -> list[Any]:
    """A key's policy, which has to let the account decide; none decides who makes a key."""
    if not resource.type.startswith("aws:kms/"):
        return []
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    made = {"Effect": "Allow", "Principal": root, "Action": "kms:CreateKey", "Resource": "*"}
    return [made, *statements(resource.inputs["policy"])]


def lacking(own: list[Any], *, changes: bool) -> set[str]:
    found = set()
    for resource in (*prod().resources.values(), *with_every_option().resources.values()):
        kind = resource.type.removeprefix("aws:")
        if not resource.type.startswith("aws:"):
            continue
        reads, writes = CALLS[kind.partition(":")[0]].partition(": ")[2].split("|")
        prefix = next((to for start, to in PREFIXES.items() if kind.startswith(start)), kind.partition("/")[0])
        for action in (reads + (writes if changes else "")).split():
            request = Request(DEPLOYER, f"{prefix}:{action}", place(resource), BY_TAG)
            if not is_allowed(request, identity=own, resource=key_policy(resource)):
                found.add(f"{request.action} on {request.resource}")
    return found


def test_drift_may_read_every_resource_of_the_stack() -> None:
    assert lacking(policy("drift"), changes=False) == set()


def test_the_deployer_may_make_read_change_and_delete_every_resource_of_the_stack() -> None:
    own = policy("deploy")
    assert lacking(own, changes=True) == set()
    assert sum(map(len, (OPERATIONS / "deploy-role.json").read_text().split())) <= MOST
    roles = [one for one in prod().of_type("aws:iam/role:Role") if "Service" in one.inputs["assumeRolePolicy"]]
    for role in roles:
        (trust,) = statements(role.inputs["assumeRolePolicy"])
        context = {"iam:PassedToService": trust["Principal"]["Service"]}
        assert is_allowed(Request(DEPLOYER, "iam:PassRole", place(role), context), identity=own), role.name
    function = prod().resources["rotate-mqtt-function"]
    assert is_allowed(Request(DEPLOYER, "lambda:InvokeFunction", place(function)), identity=own), "RotateSecret asks it"
