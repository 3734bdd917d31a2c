"""Permissions in an AWS stack, by evaluating the policies that the program makes."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from components.aws.resource_policies import ADMINISTRATION
from tests.unit import aws_stack
from tests.unit.aws_reasons import EVERYWHERE, REASONS
from tests.unit.aws_stack import (
    GOLDEN,
    OIDC,
    OPERATOR,
    READER,
    every_role,
    for_pods,
    for_this_machine,
    with_every_option,
)
from tests.unit.harness import Deployed
from tests.unit.iam import Request, is_allowed, listed, roles, statements

# The SDK's deprecation warnings do not concern these tests.
pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations"
PREVIEW_ROLES = [OPERATIONS / f"{name}-role.json" for name in ("preview", "drift", "deploy")]
ROLE = "arn:aws:iam::123456789012:role/coreflux-mcp-prod-eu-central-1@{}".format
STARTS, TICK = ROLE("task-start"), ROLE("tick")
MQTT_ROTATOR, ADMIN_ROTATOR = ROLE("rotate-mqtt"), ROLE("rotate-broker-admin")
ADMINISTRATOR = "arn:aws:iam::123456789012:role/Administrator"
STRANGER = "arn:aws:iam::210987654321:role/Administrator"
# An administrator's own policies; an operator's may allow less.
ANYTHING = [{"Effect": "Allow", "Action": "*", "Resource": "*"}]

GET, PUT, MOVE = (f"secretsmanager:{one}" for one in ("GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"))
DESCRIBE, UPDATE = "secretsmanager:DescribeSecret", "secretsmanager:UpdateSecret"
SECRETS = ("broker-admin", "mqtt", "agent-key", "http-token")
VIA = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}
PLAIN_TEXT = {"aws:SecureTransport": "false"}


@pytest.fixture
def prod() -> Deployed:
    return aws_stack.prod()


def arn(secret: str, region: str = "eu-central-1") -> str:
    return f"arn:aws:secretsmanager:{region}:123456789012:secret:coreflux-mcp/prod/{secret}-AbCdEf"


def rotated_by(secret: str) -> dict[str, str]:
    function = f"arn:aws:lambda:eu-central-1:123456789012:function:coreflux-mcp-prod-rotate-{secret}"
    return {"secretsmanager:resource/AllowRotationLambdaArn": function}


def own(deployed: Deployed, principal: str) -> list[Any]:
    name = principal.partition("/")[2]
    return roles(deployed).get(name, ANYTHING)


def of_secret(deployed: Deployed, secret: str) -> list[Any]:
    return statements(deployed.resources[f"policy-{secret}"].inputs["policy"])


def of_key(deployed: Deployed, key: str = "key") -> list[Any]:
    return statements(deployed.resources[key].inputs["policy"])


def may(deployed: Deployed, principal: str, action: str, secret: str, **context: str) -> bool:
    """Return whether Secrets Manager lets `principal` do `action`."""
    keys = {**(rotated_by(secret) if secret in ("mqtt", "broker-admin") else {}), **context}
    request = Request(principal, action, arn(secret), keys)
    return is_allowed(request, identity=own(deployed, principal), resource=of_secret(deployed, secret))


def opens(deployed: Deployed, principal: str, action: str, context: dict[str, str], key: str = "key") -> bool:
    """Return whether KMS lets `principal` do `action` with the secrets' key."""
    region = key.removeprefix("key-") if key != "key" else "eu-central-1"
    request = Request(principal, action, f"arn:aws:kms:{region}:123456789012:key/{key}-id", context)
    return is_allowed(request, identity=own(deployed, principal), resource=of_key(deployed, key))


READS = {
    STARTS: {"mqtt", "agent-key", "http-token"}, ROLE("task"): set(), MQTT_ROTATOR: {"mqtt", "broker-admin"},
    ADMIN_ROTATOR: {"broker-admin"}, TICK: set(SECRETS), OPERATOR: set(SECRETS),
    ROLE("redeploy-service"): set(), ROLE("schedule"): set(), ROLE("trail"): set(), ADMINISTRATOR: set(),
    STRANGER: set(),
}  # fmt: skip
WRITES = {
    **{principal: set[str]() for principal in READS},
    MQTT_ROTATOR: {"mqtt"},
    ADMIN_ROTATOR: {"broker-admin"},
    TICK: set(SECRETS),
    OPERATOR: set(SECRETS),
}


@pytest.mark.parametrize("principal", READS)
def test_secret_is_read_and_written_by_its_declared_principals_alone(prod: Deployed, principal: str) -> None:
    """UpdateSecret makes a version current at once, without its label and under any key. Only an operator may call
    it."""
    actions = (GET, PUT, MOVE, UPDATE)
    found = {action: {one for one in SECRETS if may(prod, principal, action, one)} for action in actions}
    writes, past = WRITES[principal], set(SECRETS) if principal == OPERATOR else set[str]()
    assert found == {GET: READS[principal], PUT: writes, MOVE: writes, UPDATE: past}


def test_the_function_that_deploys_again_reads_labels_of_the_tasks_secrets_alone(prod: Deployed) -> None:
    watched = prod.resources["redeploy-service-function"].inputs["environment"]["variables"]["SECRETS"].split()
    assert {*watched} == {f"coreflux-mcp/prod/{one}" for one in READS[STARTS]}
    assert {one for one in SECRETS if may(prod, ROLE("redeploy-service"), DESCRIBE, one)} == READS[STARTS]


def test_a_rotator_touches_its_secret_only_while_it_is_the_one_that_rotates_it(prod: Deployed) -> None:
    assert may(prod, MQTT_ROTATOR, PUT, "mqtt")
    assert not may(prod, MQTT_ROTATOR, PUT, "mqtt", **rotated_by("other"))
    assert not may(prod, MQTT_ROTATOR, GET, "mqtt", **rotated_by("broker-admin"))


def test_where_a_vpc_has_an_endpoint_rotators_go_by_it_alone() -> None:
    everything = with_every_option()
    here, elsewhere = {"aws:SourceVpce": "vpce-0123456789abcdef0"}, {"aws:SourceVpce": "vpce-0123456789abcdef1"}
    for principal in (MQTT_ROTATOR, TICK):
        assert may(everything, principal, GET, "mqtt", **here)
        assert not may(everything, principal, GET, "mqtt", **elsewhere)
        assert not may(everything, principal, GET, "mqtt")


# A server that is not AWS'

SYNC, SYNC_ACCOUNT = ROLE("sync"), "system:serviceaccount:coreflux-mcp:coreflux-mcp-sync"
ISSUER = OIDC.partition("/")[2]


@pytest.fixture
def pods() -> Deployed:
    return for_pods(", certificate_issuer: {kind: Issuer, name: plant-ca}", ", client_certificate: true")


@pytest.mark.parametrize("principal", [SYNC, OPERATOR, ADMINISTRATOR, STARTS, STRANGER])
def test_external_secrets_alone_reads_the_servers_secrets_for_pods(pods: Deployed, principal: str) -> None:
    every = {*SECRETS, "client-cert"}
    reads = {SYNC: {"mqtt", "agent-key", "http-token"}, OPERATOR: every}.get(principal, set())
    assert {one for one in every if may(pods, principal, GET, one)} == reads
    assert {one for one in every if opens(pods, principal, "kms:Decrypt", context_of(one))} == reads
    assert {may(pods, principal, PUT, one) for one in every} == {principal == OPERATOR}
    for action in (DESCRIBE, MOVE, "secretsmanager:ListSecrets"):
        assert principal != SYNC or not may(pods, principal, action, "mqtt")


WEB, STS = "sts:AssumeRoleWithWebIdentity", "sts.amazonaws.com"
OTHERS = ("system:serviceaccount:coreflux-mcp:coreflux-mcp-server", "system:serviceaccount:other:coreflux-mcp-sync")
# Issuer of a token, the request, the token's claims, and whether it is accepted.
TOKENS: list[tuple[str, str, dict[str, str], bool]] = [
    (OIDC, WEB, {"sub": SYNC_ACCOUNT, "aud": STS}, True),
    (OIDC, WEB, {"sub": SYNC_ACCOUNT, "aud": "https://kubernetes.default.svc"}, False),
    (OIDC, WEB, {"sub": SYNC_ACCOUNT}, False),
    (OIDC, WEB, {"aud": STS}, False),
    (OIDC, "sts:AssumeRole", {"sub": SYNC_ACCOUNT, "aud": STS}, False),
    (OIDC[:-1] + "0", WEB, {"sub": SYNC_ACCOUNT, "aud": STS}, False),
    *((OIDC, WEB, {"sub": account, "aud": STS}, False) for account in OTHERS),
]


@pytest.mark.parametrize(("provider", "action", "claims", "taken"), TOKENS)
def test_the_role_of_external_secrets_is_taken_by_a_token_of_its_one_account_alone(
    pods: Deployed, provider: str, action: str, claims: dict[str, str], *, taken: bool
) -> None:
    trust = [{"Resource": "*", **one} for one in statements(pods.resources["sync-role"].inputs["assumeRolePolicy"])]
    context = {f"{ISSUER}:{claim}": text for claim, text in claims.items()}
    assert is_allowed(Request(provider, action, SYNC, context), resource=trust) is taken
    assert not is_allowed(Request(ADMINISTRATOR, "sts:AssumeRole", SYNC), resource=trust)


@pytest.mark.parametrize("principal", [READER, OPERATOR, ADMINISTRATOR, STRANGER])
def test_on_this_machine_the_named_caller_reads_if_its_own_policies_let_it(principal: str) -> None:
    here = for_this_machine(stack="prod")
    every = {"broker-admin", "mqtt", "agent-key"}
    reads = {READER: {"mqtt", "agent-key"}, OPERATOR: every}.get(principal, set())
    assert {one for one in every if may(here, principal, GET, one)} == reads
    assert {one for one in every if opens(here, principal, "kms:Decrypt", context_of(one))} == reads
    without = Request(READER, GET, arn("mqtt"))
    assert not is_allowed(without, resource=of_secret(here, "mqtt")), "the stack grants it nothing"


def context_of(secret: str, **more: str) -> dict[str, str]:
    return {**VIA, "kms:EncryptionContext:SecretARN": arn(secret), **more}


@pytest.mark.parametrize("principal", READS)
def test_the_key_opens_values_for_readers_and_encrypts_for_writers(prod: Deployed, principal: str) -> None:
    opened, encrypted = (
        {one for one in SECRETS if opens(prod, principal, f"kms:{action}", context_of(one))}
        for action in ("Decrypt", "GenerateDataKey")
    )
    assert (opened, encrypted) == (READS[principal], WRITES[principal])


@pytest.mark.parametrize(
    "context",
    [
        {},
        VIA,
        {"kms:EncryptionContext:SecretARN": arn("mqtt")},
        context_of("mqtt", **{"kms:ViaService": "s3.eu-central-1.amazonaws.com"}),
        context_of("mqtt", **{"kms:EncryptionContext:SecretARN": arn("mqtt").replace("/prod/", "/staging/")}),
        context_of("mqtt", **{"kms:EncryptionContext:SecretARN": arn("mqtt").replace("mqtt-", "mqtt-x-")}),
    ],
    ids=["directly", "of nothing", "past Secrets Manager", "by S3", "of another stack", "of another secret"],
)
def test_the_key_opens_nothing(prod: Deployed, context: dict[str, str]) -> None:
    for principal in (STARTS, MQTT_ROTATOR, TICK, OPERATOR, ADMINISTRATOR):
        assert not opens(prod, principal, "kms:Decrypt", context), principal


def test_no_policy_has_an_empty_list_when_the_only_reader_is_an_operator() -> None:
    deployed = for_this_machine(reader=OPERATOR)
    assert [one.name for one in deployed.resources.values() if "[]" in one.inputs.get("policy", "")] == []


# What services may

TRAIL = {"aws:SourceArn": "arn:aws:cloudtrail:eu-central-1:123456789012:trail/coreflux-mcp-prod-trail"}
OWNED = {**TRAIL, "s3:x-amz-acl": "bucket-owner-full-control"}
RECORDED = TRAIL | {"kms:EncryptionContext:aws:cloudtrail:arn": TRAIL["aws:SourceArn"]}
ALARM, OTHERS_ALARM = (
    {"aws:SourceArn": f"arn:aws:cloudwatch:eu-central-1:123456789012:alarm:coreflux-mcp-{stack}-deletion"}
    for stack in ("prod", "other")
)
FAILED, NEW_VERSION, OTHER_RULE = (
    {"aws:SourceArn": f"arn:aws:events:eu-central-1:123456789012:rule/coreflux-mcp-prod-{rule}"}
    for rule in ("rotation-failures", "new-version", "other")
)
TOPIC = "arn:aws:sns:eu-central-1:123456789012:coreflux-mcp-prod-alerts"
ENCRYPTED = {"kms:EncryptionContext:aws:sns:topicArn": TOPIC}
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:coreflux-mcp-prod-new-versions"
HERE = {"aws:SourceAccount": "123456789012"}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/trail-key-id"
CLOUDTRAIL, CLOUDWATCH, EVENTS = (f"{one}.amazonaws.com" for one in ("cloudtrail", "cloudwatch", "events"))


# Policy, service, action, resource, condition keys, and whether it is allowed.
SERVICES = [
    ("trail-bucket-policy", CLOUDTRAIL, "s3:PutObject", "AWSLogs/123456789012/x", OWNED, True),
    ("trail-bucket-policy", CLOUDTRAIL, "s3:PutObject", "AWSLogs/123456789012/x", TRAIL, False),
    ("trail-bucket-policy", CLOUDTRAIL, "s3:PutObject", "AWSLogs/210987654321/x", OWNED, False),
    ("trail-bucket-policy", CLOUDTRAIL, "s3:PutObject", "AWSLogs/123456789012/x", OWNED | PLAIN_TEXT, False),
    ("trail-bucket-policy", STRANGER, "s3:GetObject", "AWSLogs/123456789012/x", {}, False),
    ("trail-role", CLOUDTRAIL, "sts:AssumeRole", "", {}, True),
    ("schedule-role", "scheduler.amazonaws.com", "sts:AssumeRole", "", {}, False),
    ("alerts-policy", CLOUDWATCH, "sns:Publish", TOPIC, ALARM | HERE, True),
    ("alerts-policy", CLOUDWATCH, "sns:Publish", TOPIC, OTHERS_ALARM | HERE, False),
    ("alerts-policy", EVENTS, "sns:Publish", TOPIC, FAILED, True),
    ("alerts-policy", EVENTS, "sns:Publish", TOPIC, OTHER_RULE, False),
    ("new-versions-policy", EVENTS, "sqs:SendMessage", QUEUE, NEW_VERSION, True),
    ("trail-key", CLOUDWATCH, "kms:GenerateDataKey", KEY, HERE | ENCRYPTED, True),
    ("trail-key", EVENTS, "kms:GenerateDataKey", KEY, ENCRYPTED, True),
    ("trail-key", CLOUDTRAIL, "kms:GenerateDataKey", KEY, RECORDED, True),
    ("key", CLOUDTRAIL, "kms:Decrypt", KEY, {**VIA, "kms:EncryptionContext:SecretARN": arn("mqtt")}, False),
    ("policy-mqtt", "secretsmanager.amazonaws.com", GET, arn("mqtt"), {}, False),
]  # fmt: skip


@pytest.mark.parametrize("row", SERVICES, ids=lambda row: " ".join(map(str, row[:3])))
def test_service_may_only_what_it_needs(prod: Deployed, row: tuple[str, str, str, str, dict[str, str], bool]) -> None:
    policy, principal, action, resource, context, allowed = row
    if action.startswith("s3:"):
        bucket = f"arn:aws:s3:::{prod.resources['trail-bucket'].inputs['bucket']}"
        resource = f"{bucket}/{resource}" if resource else bucket
    request = Request(principal, action, resource, context)
    inputs = prod.resources[policy].inputs
    found = statements(inputs.get("policy") or inputs["assumeRolePolicy"])
    assert is_allowed(request, resource=[{"Resource": "*", **one} for one in found]) is allowed


def test_the_golden_file_is_every_role_action_and_resource() -> None:
    assert GOLDEN.read_text() == every_role(), "check the changes, then follow the second line of the file"


def test_each_action_has_a_reason_and_is_one_that_aws_knows() -> None:
    """AWS accepts a misspelled action, which has no effect. cfn-lint's copy of AWS's list has the valid ones."""
    stacks = (aws_stack.prod(), with_every_option(), for_pods())
    granted = [one for stack in stacks for own in roles(stack).values() for one in own]
    anywhere = {action for one in granted if "*" in listed(one["Resource"]) for action in listed(one["Action"])}
    assert {action for one in granted for action in listed(one["Action"])} == REASONS.keys()
    assert anywhere == EVERYWHERE.keys()
    previews = {
        action for path in PREVIEW_ROLES for one in statements(path.read_text()) for action in listed(one["Action"])
    }
    # Importing cfnlint itself takes seconds.
    if not (cfnlint := importlib.util.find_spec("cfnlint")) or not cfnlint.origin:
        pytest.skip("cfn-lint is not installed: it comes with moto[server]")
    listed_by_aws = Path(cfnlint.origin).parent / "data/AdditionalSpecs/Policies.json"
    known = {
        f"{service}:{action}"
        for service, one in json.loads(listed_by_aws.read_text()).items()
        for action in one["Actions"]
    }
    assert {action.lower() for action in (*REASONS, *ADMINISTRATION, *previews)} <= known
