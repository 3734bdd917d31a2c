"""The policies in docs/operations: of the role that previews take, and of an operator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.aws.policies import READ, WRITE
from tests.unit.aws_stack import OPERATOR, on_aws
from tests.unit.harness import Deployed
from tests.unit.iam import Request, is_allowed, statements

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
"""The SDK warns of what nobody here uses."""

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations"
ROLE = statements((OPERATIONS / "preview-role.json").read_text())
TRUST = statements((OPERATIONS / "preview-trust.json").read_text())
ISSUER = "token.actions.githubusercontent.com"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/key"
PREVIEWER = "arn:aws:iam::123456789012:role/preview"
OPENS = {
    "secretsmanager:GetSecretValue",
    "secretsmanager:BatchGetSecretValue",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "ssm:GetParameter",
    "logs:GetLogEvents",
    "logs:FilterLogEvents",
    "logs:StartQuery",
    "sqs:ReceiveMessage",
    "iam:PassRole",
    "lambda:InvokeFunction",
    "sts:AssumeRole",
    "ecs:ExecuteCommand",
    "cloudtrail:LookupEvents",
}
"""What leads to a value, a record or another's rights."""


@pytest.fixture
def prod() -> Deployed:
    return on_aws()


def actions() -> list[str]:
    return [action for statement in ROLE for action in statement["Action"]]


def test_it_only_describes_gets_and_lists_and_opens_nothing() -> None:
    assert {action.partition(":")[2][:3] for action in actions()} == {"Des", "Get", "Lis"}
    assert not OPENS & set(actions())
    assert not {f"secretsmanager:{one}" for one in (*READ, *WRITE)} - {"secretsmanager:DescribeSecret"} & set(actions())


def test_by_the_policies_of_the_stack_it_is_given_no_value(prod: Deployed) -> None:
    for name in ("policy-mqtt", "policy-broker-admin"):
        arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/{name}-AbCdEf"
        policy = statements(prod.resources[name].inputs["policy"])
        for action in {*OPENS, *WRITE} - {"secretsmanager:DescribeSecret"}:
            assert not is_allowed(Request(PREVIEWER, action, arn), identity=ROLE, resource=policy), action
    key = statements(prod.resources["key"].inputs["policy"])
    assert not is_allowed(Request(PREVIEWER, "kms:Decrypt", KEY), identity=ROLE, resource=key)


def test_of_the_objects_in_s3_it_reads_the_state_alone() -> None:
    def may(bucket: str, key: str) -> bool:
        return is_allowed(Request(PREVIEWER, "s3:GetObject", f"arn:aws:s3:::{bucket}/{key}"), identity=ROLE)

    assert may("STATE-BUCKET", ".pulumi/stacks/coreflux-mcp-secrets/prod.json")
    assert not may("coreflux-mcp-prod-trail", "AWSLogs/x.json.gz")
    assert not is_allowed(Request(PREVIEWER, "s3:PutObject", "arn:aws:s3:::STATE-BUCKET/.pulumi/x"), identity=ROLE)


@pytest.mark.parametrize(
    ("subject", "audience", "taken"),
    [
        ("repo:OWNER/REPOSITORY:environment:preview", "sts.amazonaws.com", True),
        ("repo:OWNER/REPOSITORY:environment:prod", "sts.amazonaws.com", False),
        ("repo:OWNER/REPOSITORY-2:environment:preview", "sts.amazonaws.com", False),
        ("repo:STRANGER/REPOSITORY:environment:preview", "sts.amazonaws.com", False),
        ("repo:OWNER/REPOSITORY:environment:preview", "https://github.com/OWNER", False),
    ],
)
def test_only_a_job_of_the_environment_preview_takes_it(subject: str, audience: str, taken: bool) -> None:
    (trust,) = TRUST
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    provider = trust["Principal"]["Federated"]
    asked = Request(provider, trust["Action"], PREVIEWER, {f"{ISSUER}:sub": subject, f"{ISSUER}:aud": audience})
    assert is_allowed(asked, resource=[{**trust, "Resource": PREVIEWER}]) is taken  # a role's policy is for itself
    assert provider.endswith(f":oidc-provider/{ISSUER}")


# The policy that docs/operations/aws.md gives an operator


def test_the_pages_policy_lets_an_operator_do_what_secretops_does_and_nothing_else(prod: Deployed) -> None:
    own = statements((OPERATIONS / "aws.md").read_text().partition("```json\n")[2].partition("```")[0])
    secrets = {name.removeprefix("policy-"): one for name, one in prod.resources.items() if name.startswith("policy-")}
    assert len(secrets) == 5
    key = statements(prod.resources["key"].inputs["policy"])
    for secret, policy in secrets.items():
        arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/{secret}-AbCdEf"

        def may(action: str, arn: str = arn, policy: Any = policy) -> bool:
            request = Request(OPERATOR, action, arn)
            return is_allowed(request, identity=own, resource=statements(policy.inputs["policy"]))

        assert all(map(may, (*READ, *WRITE)))
        others = ("DeleteSecret", "PutResourcePolicy", "UpdateSecret")
        assert not any(may(f"secretsmanager:{one}") for one in others)
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            via = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}
            of = {"kms:EncryptionContext:SecretARN": arn}
            assert is_allowed(Request(OPERATOR, action, KEY, via | of), identity=own, resource=key)
            assert not is_allowed(Request(OPERATOR, action, KEY, of), identity=own, resource=key)
