"""The policies in docs/operations, for previews, drift, deployments and operators."""

from pathlib import Path
from typing import Any

import pytest

from components.aws.policies import READ, WRITE
from tests.unit.aws_stack import OPERATOR, on_aws
from tests.unit.harness import Deployed
from tests.unit.iam import Request, is_allowed, statements

# The SDK's deprecation warnings do not concern these tests.
pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations"
ROLES = {name: statements((OPERATIONS / f"{name}-role.json").read_text()) for name in ("preview", "drift", "deploy")}
TRUST = statements((OPERATIONS / "preview-trust.json").read_text())
ISSUER = "token.actions.githubusercontent.com"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/key"
PREVIEWER = "arn:aws:iam::123456789012:role/preview"
# Actions that reveal a value, a record or another's rights.
OPENS = {
    *("secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue", "kms:Decrypt", "kms:ReEncryptFrom"),
    *("ssm:GetParameter", "logs:GetLogEvents", "logs:FilterLogEvents", "logs:StartQuery", "sqs:ReceiveMessage"),
    *("iam:PassRole", "lambda:InvokeFunction", "sts:AssumeRole", "ecs:ExecuteCommand", "cloudtrail:LookupEvents"),
}


@pytest.fixture
def prod() -> Deployed:
    return on_aws()


@pytest.fixture(params=["preview", "drift"])
def role(request: pytest.FixtureRequest) -> list[Any]:
    return ROLES[request.param]


def actions(role: list[Any]) -> set[str]:
    return {action for statement in role for action in statement["Action"]}


def test_a_role_only_describes_gets_and_lists_and_opens_nothing(role: list[Any]) -> None:
    assert {action.partition(":")[2][:3] for action in actions(role)} <= {"Des", "Get", "Lis"}
    assert not OPENS & actions(role)
    assert not {f"secretsmanager:{one}" for one in (*READ, *WRITE)} - {"secretsmanager:DescribeSecret"} & actions(role)


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_policies_of_the_stack_let_no_workflow_role_read_a_value(prod: Deployed, role: list[Any]) -> None:
    key = statements(prod.resources["key"].inputs["policy"])
    for name in ("mqtt", "broker-admin"):
        arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/{name}-AbCdEf"
        policy = statements(prod.resources[f"policy-{name}"].inputs["policy"])
        for action in {*OPENS, *WRITE} - {"secretsmanager:DescribeSecret", "lambda:InvokeFunction"}:
            assert not is_allowed(Request(PREVIEWER, action, arn), identity=role, resource=policy), action
        via = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com", "kms:EncryptionContext:SecretARN": arn}
        for context in ({}, {**via, "aws:ResourceTag/project": "coreflux-mcp-secrets"}):
            assert not is_allowed(Request(PREVIEWER, "kms:Decrypt", KEY, context), identity=role, resource=key)


def test_a_role_reads_the_states_of_this_project_and_no_other_object(role: list[Any]) -> None:
    def may(bucket: str, key: str, action: str = "s3:GetObject") -> bool:
        return is_allowed(Request(PREVIEWER, action, f"arn:aws:s3:::{bucket}/{key}"), identity=role)

    assert may("STATE-BUCKET", ".pulumi/stacks/coreflux-mcp-secrets/prod.json")
    assert not may("STATE-BUCKET", ".pulumi/stacks/payroll/prod.json")
    assert not may("STATE-BUCKET", ".pulumi/stacks/coreflux-mcp-secrets-2/prod.json")
    assert not may("STATE-BUCKET", ".pulumi/history/payroll/prod/prod-1.checkpoint.json")
    assert not may("STATE-BUCKET", ".pulumi/stacks/coreflux-mcp-secrets/prod.json", "s3:PutObject")


def test_previews_read_no_variables_and_drift_those_of_the_stacks_functions_alone(prod: Deployed) -> None:
    own = [one.inputs["name"] for one in prod.of_type("aws:lambda/function:Function")]
    assert own

    def may(role: str, action: str, arn: str) -> bool:
        return is_allowed(Request(PREVIEWER, action, f"arn:aws:{arn}"), identity=ROLES[role])

    for function, drifts in [*((name, True) for name in own), ("payroll", False)]:
        arn = f"lambda:eu-central-1:123456789012:function:{function}"
        assert not may("preview", "lambda:GetFunction", arn)
        assert may("drift", "lambda:GetFunction", arn) is drifts
    for secret, drifts in (("coreflux-mcp/prod/mqtt-AbCdEf", True), ("payroll-AbCdEf", False)):
        arn = f"secretsmanager:eu-central-1:123456789012:secret:{secret}"
        assert may("drift", "secretsmanager:DescribeSecret", arn) is drifts
    assert "ecs:DescribeTaskDefinition" not in actions(ROLES["preview"])


def test_drift_reads_on_everything_only_without_an_arn() -> None:
    anywhere = {action for one in ROLES["drift"] if one["Resource"] == "*" for action in one["Action"]}
    services = {action.partition(":")[0] for action in anywhere}
    assert "ecs:DescribeTaskDefinition" in anywhere
    assert not {"s3", "secretsmanager", "sns", "sqs", "events", "scheduler"} & services


@pytest.mark.parametrize(("subject", "audience", "taken"), [
    ("repo:OWNER/REPOSITORY:environment:preview", "sts.amazonaws.com", True),
    ("repo:OWNER/REPOSITORY:environment:prod", "sts.amazonaws.com", False),
    ("repo:OWNER/REPOSITORY-2:environment:preview", "sts.amazonaws.com", False),
    ("repo:STRANGER/REPOSITORY:environment:preview", "sts.amazonaws.com", False),
    ("repo:OWNER/REPOSITORY:environment:preview", "https://github.com/OWNER", False),
])  # fmt: skip
def test_only_a_job_of_the_environment_preview_takes_it(subject: str, audience: str, taken: bool) -> None:
    (trust,) = TRUST
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    provider = trust["Principal"]["Federated"]
    attempt = Request(provider, trust["Action"], PREVIEWER, {f"{ISSUER}:sub": subject, f"{ISSUER}:aud": audience})
    assert is_allowed(attempt, resource=[{**trust, "Resource": PREVIEWER}]) is taken  # a role's policy is for itself
    assert provider.endswith(f":oidc-provider/{ISSUER}")


def test_the_pages_policy_lets_an_operator_do_what_secretops_does_and_nothing_else(prod: Deployed) -> None:
    own = statements((OPERATIONS / "aws.md").read_text().partition("```json\n")[2].partition("```")[0])
    secrets = {name.removeprefix("policy-"): one for name, one in prod.resources.items() if name.startswith("policy-")}
    assert len(secrets) == 4
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
