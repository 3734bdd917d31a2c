"""The permissions of `pulumi up` and of the drift check allow the provider's calls in
docs/operations/aws-provider-calls.txt."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.aws_arns import ACCOUNT, REGION, arn_of
from tests.unit.aws_stack import prod, with_every_option
from tests.unit.harness import Registered
from tests.unit.iam import Request, is_allowed, statements

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations"
DEPLOYER = f"arn:aws:iam::{ACCOUNT}:role/deployer"
MOST = 10_240  # Characters of a role's inline policies, without white space (AWS, IAM quotas).

CALLS = dict(
    re.sub(r" \([^)]*\)", "", line).split(": ", 1)
    for line in (OPERATIONS / "aws-provider-calls.txt").read_text().splitlines()
    if not line.startswith("#")
)  # Type: the source file, and the actions of its read, then of its create, update and delete.
# Types whose service prefix in IAM differs.
PREFIXES = {"lb": "elasticloadbalancing", "cloudwatch/log": "logs", "cloudwatch/event": "events"}
BY_TAG = {"aws:ResourceTag/project": "coreflux-mcp-secrets", "aws:RequestTag/project": "coreflux-mcp-secrets"}


def policy(name: str) -> list[Any]:
    return statements((OPERATIONS / f"{name}-role.json").read_text())


def place(resource: Registered) -> str:
    """Return the ARN that IAM checks for a resource: its own, or that of the resource that it belongs to."""
    kind, resource_inputs = resource.type.removeprefix("aws:"), resource.inputs
    owner = next((resource_inputs[key] for key in ("secretArn", "secretId", "topic") if key in resource_inputs), None)
    if owner or kind == "sns/topicPolicy:TopicPolicy":
        return str(owner or resource_inputs["arn"])
    return arn_of(resource.type, resource.name, resource_inputs)


def key_policy(resource: Registered) -> list[Any]:
    """Return a key's policy, which must delegate to the account. No policy applies to the key's creation."""
    if not resource.type.startswith("aws:kms/"):
        return []
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    made = {"Effect": "Allow", "Principal": root, "Action": "kms:CreateKey", "Resource": "*"}
    return [made, *statements(resource.inputs["policy"])]


def calls(kind: str) -> list[set[str]]:
    """Return two sets of actions of a resource type: for Read; for Create, Update and Delete."""
    prefix = next((to for start, to in PREFIXES.items() if kind.startswith(start)), kind.partition("/")[0])
    halves = CALLS[kind].partition(": ")[2].split("|")
    return [{one if ":" in one else f"{prefix}:{one}" for one in half.split()} for half in halves]


def lacking(own: list[Any], *, changes: bool) -> set[str]:
    found = set()
    for resource in (*prod().resources.values(), *with_every_option().resources.values()):
        if not resource.type.startswith("aws:"):
            continue
        reads, writes = calls(resource.type.split(":")[1])
        for action in reads | (writes if changes else set()):
            where = [place(resource)]
            if action == "ecs:DescribeServiceDeployments":  # AWS checks the service and its deployment.
                where.append(where[0].replace(":service/", ":service-deployment/") + "/id")
            for one in [Request(DEPLOYER, action, arn, BY_TAG) for arn in where]:
                if not is_allowed(one, identity=own, resource=key_policy(resource)):
                    found.add(f"{action} on {one.resource}")
    return found


def test_drift_reads_every_resource_of_the_stack_and_nothing_else() -> None:
    own = policy("drift")
    assert lacking(own, changes=False) == set()
    needed = set().union(*(calls(kind)[0] for kind in CALLS))
    assert {one for part in own for one in part["Action"]} == needed | {"sts:GetCallerIdentity", "s3:GetObject"}


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


@pytest.mark.parametrize("action", ["kms:CreateKey", "kms:TagResource", "kms:EnableKeyRotation"])
def test_deployer_may_make_a_key_that_has_no_tag_yet(action: str) -> None:
    """IAM checks only the request's tags: docs.aws.amazon.com/kms/latest/developerguide/tag-permissions.html."""
    key = prod().resources["key"]
    new = {name: tag for name, tag in BY_TAG.items() if "Request" in name} if action != "kms:EnableKeyRotation" else {}
    assert is_allowed(Request(DEPLOYER, action, place(key), new), identity=policy("deploy"), resource=key_policy(key))


READS = ("secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "sqs:ReceiveMessage")
LOGS = ("logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery")


@pytest.mark.parametrize("name", ["preview", "drift", "deploy"])
def test_no_role_of_the_workflows_reads_a_value(name: str) -> None:
    own, secret, key = policy(name), place(prod().resources["secret-mqtt"]), prod().resources["key"]
    via = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com", "kms:EncryptionContext:SecretARN": secret}
    requests = [Request(DEPLOYER, action, secret) for action in READS]
    groups = map(place, prod().of_type("aws:cloudwatch/logGroup:LogGroup"))
    requests += [Request(DEPLOYER, action, group) for group in groups for action in LOGS]
    (bucket,) = map(place, prod().of_type("aws:s3/bucket:Bucket"))
    requests.append(Request(DEPLOYER, "s3:GetObject", f"{bucket}/AWSLogs/x.json.gz"))
    requests.append(Request(DEPLOYER, "kms:Decrypt", place(key), {**via, **BY_TAG}))
    assert [one.action for one in requests if is_allowed(one, identity=own, resource=key_policy(key))] == []
