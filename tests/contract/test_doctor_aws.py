"""`secretops doctor` on a stack in AWS: each check is OK on a healthy stack, and reports its planted faults.

moto replaces AWS. It lacks SimulatePrincipalPolicy, and reports every version as just made. So this module answers in
its place, which proves nothing about AWS.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed: the extra `aws`")

from botocore.exceptions import ClientError

from secretops.check import Level, Result
from secretops.errors import ExitCode, UnreachableError
from secretops.manifest import Manifest
from secretops.operations.doctor import checks, doctor, exit_code
from secretops.operations.put import put
from secretops.operations.rotate import rotate
from secretops.operations.session import Session
from secretops.platforms.aws import checks as examining
from secretops.platforms.aws.checks.account import Account
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.aws.store import SecretsManagerVersionStore
from secretops.stores.lease import Timing
from tests.contract.doctor_fault import Fault, prove, reported
from tests.real.mosquitto import Mosquitto
from tests.real.moto import ACCOUNT, REGION, Aws
from tests.real.stack import make_catalog
from tests.real.strict_secrets_manager import StrictSecretsManager

pytestmark = pytest.mark.real

OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/ops/operator"
SERVER = f"arn:aws:iam::{ACCOUNT}:role/server"


@dataclass
class Iam:
    """A stand-in for IAM: SimulatePrincipalPolicy and GetRole, with the answers that AWS documents."""

    denies: set[tuple[str, str]] = field(default_factory=set)  # Principal and action.
    unknown_context: bool = False
    refuses: bool = False
    requested: list[dict[str, Any]] = field(default_factory=list)

    def get_paginator(self, name: str) -> Iam:
        assert name == "simulate_principal_policy"
        return self

    def paginate(self, **requested: Any) -> list[dict[str, Any]]:
        if self.refuses:
            _denied("SimulatePrincipalPolicy")
        self.requested.append(requested)
        who, missing = requested["PolicySourceArn"], ["aws:SourceVpce"] if self.unknown_context else []
        decisions = {
            one: "implicitDeny" if (who, one) in self.denies else "allowed" for one in requested["ActionNames"]
        }
        results = [
            {"EvalActionName": action, "EvalDecision": decision, "MissingContextValues": missing}
            for action, decision in decisions.items()
        ]
        return [{"EvaluationResults": results}]

    def get_role(self, *, RoleName: str) -> dict[str, Any]:  # noqa: N803
        if self.refuses:
            _denied("GetRole")
        return {"Role": {"Arn": f"arn:aws:iam::{ACCOUNT}:role/found/{RoleName}"}}


@dataclass
class SecretsManager:
    """A stand-in: moto's Secrets Manager, except for the ages of versions and the refusals."""

    moto: Any
    ages: dict[str, timedelta] = field(default_factory=dict)  # Version -> its age.
    refuses: set[str] = field(default_factory=set)  # Operations, by the names of boto3.

    def __getattr__(self, name: str) -> Any:
        return _denied if name in self.refuses else getattr(self.moto, name)

    def get_paginator(self, name: str) -> Any:
        return _denied() if name in self.refuses else self.moto.get_paginator(name)

    def list_secret_version_ids(self, **requested: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.__getattr__("list_secret_version_ids")(**requested)
        for each in answer["Versions"]:
            each["CreatedDate"] -= self.ages.get(each["VersionId"], timedelta())
        return answer


def _denied(operation: str = "operation", **_asked: Any) -> Any:
    raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "from the stand-in"}}, operation)


@dataclass
class Stack:
    aws: Aws
    manifest: Manifest
    iam: Iam
    service: SecretsManager
    mosquitto: Mosquitto
    played: dict[str, Any] = field(default_factory=dict)  # Other services that a test plays, by the names of boto3.

    @property
    def store(self) -> AwsStoreLocation:
        return cast(AwsStoreLocation, self.manifest.store)

    @property
    def name(self) -> str:
        return self.store.secrets["mqtt"]

    @property
    def prefix(self) -> str:
        return self.name.partition("/")[0]

    def look(self) -> dict[str, Result]:
        found = list(doctor(checks(Session.open(self.manifest, role="operator"))))
        self.exit_code = exit_code(found)
        return dict(found)

    def backend(self, secret: str = "mqtt") -> Any:
        """Return moto's object of a secret, to set properties that no API request can set."""
        from moto.secretsmanager.models import secretsmanager_backends

        return secretsmanager_backends[ACCOUNT][REGION].secrets[self.store.secrets[secret]]


def make_stack(aws: Aws, mosquitto: Mosquitto) -> Stack:
    prefix = aws.prefix()
    secrets = tuple(one for one in make_catalog(users=("a", "b")) if one.kind.alternates)
    names = {one.name: f"{prefix}/{one.name}" for one in secrets}
    topic = aws.client("sns").create_topic(Name=f"{prefix}-alerts")["TopicArn"]
    store = AwsStoreLocation(
        account=ACCOUNT, region=REGION, secrets=names, lease=aws.make_lease(prefix),
        readers={names["mqtt"]: (SERVER, OPERATOR)}, alerts=topic,
    )  # fmt: skip
    manifest = Manifest(
        project="p", stack="prod", store=store, broker=mosquitto.broker(), grace_seconds=30, secrets=secrets
    )
    key = aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    for name in names.values():
        aws.secrets_manager.create_secret(Name=name, KmsKeyId=key)
    made = Stack(aws, manifest, Iam(), SecretsManager(aws.secrets_manager), mosquitto)
    for one in secrets:
        backend = made.backend(one.name)
        backend.rotation_requested = backend.rotation_enabled = True
        backend.rotation_lambda_arn = make_function(aws, f"{prefix}-rotate-{one.name}")
    session = Session.open(manifest, role="operator")
    put(session, "broker-admin", mosquitto.admin)
    rotate(session, "mqtt", force=True, notify=lambda _: None)
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{prefix}-tick-failed",
        AlarmActions=[topic],
        Namespace="p",
        MetricName="Failed",
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    aws.client("sns").subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.org")
    aws.client("s3").create_bucket(Bucket=prefix, CreateBucketConfiguration={"LocationConstraint": REGION})
    cloudtrail = aws.client("cloudtrail")
    for trail in cloudtrail.describe_trails()["trailList"]:
        cloudtrail.delete_trail(Name=trail["Name"])
    cloudtrail.create_trail(Name=prefix, S3BucketName=prefix, IsMultiRegionTrail=True)
    cloudtrail.start_logging(Name=prefix)
    return made


def played(made: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Return `made`, with stand-ins of this module in place of some of moto's services."""
    real = Account.client

    def client(account: Account, service: str) -> Any:
        played = {"iam": made.iam, "secretsmanager": made.service, **made.played}
        return played.get(service) or real(account, service)

    monkeypatch.setattr(Account, "client", client)
    return made


@pytest.fixture
def stack(moto_environment: Aws, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return played(make_stack(moto_environment, mosquitto), monkeypatch)


@pytest.fixture(scope="module")
def manifest(moto: Aws, mosquitto: Mosquitto) -> Iterator[Manifest]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in moto.environment.items():
            patch.setenv(name, value)
        yield make_stack(moto, mosquitto).manifest


@pytest.fixture
def healthy(manifest: Manifest, moto_environment: Aws, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Return one healthy stack for all tests that change nothing in moto."""
    service = SecretsManager(moto_environment.secrets_manager)
    return played(Stack(moto_environment, manifest, Iam(), service, mosquitto), monkeypatch)


def make_function(aws: Aws, name: str) -> str:
    trusts = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trusts]})
    role = aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("nothing.py", "")
    made = aws.client("lambda").create_function(
        FunctionName=name, Role=role, Runtime="python3.11", Handler="nothing.do", Code={"ZipFile": package.getvalue()}
    )
    return str(made["FunctionArn"])


def test_intact_stack_is_healthy(stack: Stack) -> None:
    found = stack.look()
    assert {
        name: (result.level, reported(result)) for name, result in found.items() if result.level is not Level.OK
    } == {}
    assert stack.exit_code is ExitCode.DONE
    assert list(found) == [
        *("credentials", "clock", "secrets", "unknown secrets", "keys", "lease", "pending", "rotation"),
        *("your rights", "readers' rights", "rotators' rights", "audit", "alarms"),
        *("broker", "login broker-admin", "login mqtt", "certificates", "secret broker-admin", "secret mqtt"),
    ]
    assert ACCOUNT in found["credentials"].value


def schedule_deletion(stack: Stack) -> None:
    stack.aws.secrets_manager.delete_secret(SecretId=stack.name)


STRAY = "0" * 40


def leave_empty_pending(stack: Stack) -> None:
    """Leave an empty pending version, as AWS does when the function fails before it sets a value."""
    strict = StrictSecretsManager(stack.aws.secrets_manager)
    strict.rotate_secret(SecretId=stack.name, ClientRequestToken=STRAY)
    stack.service.ages[STRAY] = timedelta(hours=3)


def leave_pending_of_somebody(stack: Stack) -> None:
    stack.aws.secrets_manager.put_secret_value(
        SecretId=stack.name, ClientRequestToken=STRAY, SecretString="{}", VersionStages=["AWSPENDING"]
    )
    stack.service.ages[STRAY] = timedelta(hours=3)


def add_stranger(stack: Stack, name: str) -> str:
    full = name.format(stack.prefix)
    stack.aws.secrets_manager.create_secret(Name=full, SecretString="{}")
    return full


def role_of_function(stack: Stack) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{stack.prefix}-rotate-mqtt"


def let_rotation_be_late(stack: Stack) -> None:
    stack.backend().next_rotation_date = (datetime.now(UTC) - timedelta(days=3)).timestamp()


def deny_the_server(stack: Stack) -> None:
    stack.iam.denies.add((SERVER, "secretsmanager:GetSecretValue"))


ASKING = f"arn:aws:sts::{ACCOUNT}:user/moto"  # The identity of every caller in moto.


def leave_the_subscription_unconfirmed(stack: Stack) -> None:
    """Fake an unconfirmed subscription. moto confirms at once; AWS, when a person follows the link in its e-mail."""
    pages = SimpleNamespace(paginate=lambda **_: [{"Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]}])
    stack.played["sns"] = SimpleNamespace(get_paginator=lambda _name: pages)


def key_of(stack: Stack) -> str:
    return str(stack.aws.secrets_manager.describe_secret(SecretId=stack.name)["KmsKeyId"])


def set_the_clock_back(stack: Stack) -> None:
    """Fake an answer of AWS whose date is an hour ahead."""
    found = stack.aws.client("sts").get_caller_identity()
    found["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(datetime.now(UTC) + timedelta(hours=1))
    stack.played["sts"] = SimpleNamespace(get_caller_identity=lambda: found)


# Each list is planted together, one fault a check.
ROUNDS: dict[str, tuple[Fault[Stack], ...]] = {
    "first": (
        Fault(
            lambda stack: add_stranger(stack, "{}/one-that-left"),
            "unknown secrets",
            ("/one-that-left", "delete-secret"),
        ),
        Fault(
            lambda stack: stack.aws.client("kms").disable_key(KeyId=key_of(stack)),
            "keys",
            ("Disabled", "aws kms enable-key", "--key-id"),
        ),
        Fault(leave_pending_of_somebody, "pending", ("--remove-from-version-id 000",)),
        Fault(
            lambda stack: stack.aws.client("lambda").delete_function(FunctionName=stack.backend().rotation_lambda_arn),
            "rotators' rights",
            ("arn:aws:lambda",),
        ),
        Fault(let_rotation_be_late, "rotation", ("mqtt",)),
        Fault(
            lambda stack: stack.iam.denies.add((ASKING, "secretsmanager:PutSecretValue")),
            "your rights",
            ("secretsmanager:PutSecretValue",),
        ),
        Fault(deny_the_server, "readers' rights", (SERVER, "secretsmanager:GetSecretValue")),
        Fault(lambda stack: stack.aws.client("cloudtrail").stop_logging(Name=stack.prefix), "audit", ("pulumi up",)),
        Fault(
            lambda stack: stack.aws.client("cloudwatch").disable_alarm_actions(
                AlarmNames=[f"{stack.prefix}-tick-failed"]
            ),
            "alarms",
            ("-tick-failed", "enable-alarm-actions"),
        ),
        Fault(set_the_clock_back, "clock", ("NTP",)),
    ),
    "second": (
        Fault(lambda stack: add_stranger(stack, "{}+2/mqtt"), "unknown secrets", ("+2/mqtt",)),
        Fault(
            lambda stack: stack.aws.client("kms").schedule_key_deletion(KeyId=key_of(stack), PendingWindowInDays=7),
            "keys",
            ("PendingDeletion", "aws kms cancel-key-deletion"),
        ),
        Fault(
            lambda stack: stack.iam.denies.add((role_of_function(stack), "secretsmanager:UpdateSecretVersionStage")),
            "rotators' rights",
            ("-rotate-mqtt", "secretsmanager:UpdateSecretVersionStage"),
        ),
        Fault(lambda stack: setattr(stack.backend(), "rotation_enabled", False), "rotation", ("mqtt",)),
        Fault(lambda stack: stack.aws.dynamodb().delete_table(TableName=f"{stack.prefix}-lease"), "lease", ("-lease",)),
        Fault(lambda stack: stack.iam.denies.add((ASKING, "dynamodb:UpdateItem")), "your rights", ("on arn:aws:dyna",)),
        Fault(leave_the_subscription_unconfirmed, "alarms", ("-alerts",)),
    ),
}


@pytest.mark.parametrize("faults", ROUNDS.values(), ids=ROUNDS)
def test_each_fault_fails_its_check_and_no_other(faults: tuple[Fault[Stack], ...], stack: Stack) -> None:
    for fault in faults:
        fault.plant(stack)
    found = stack.look()
    for fault in faults:
        result = found[fault.check]
        assert result.level is Level.ATTENTION, (fault.check, reported(result))
        assert result.rule and result.remedy
        assert [one for one in fault.words if one not in reported(result)] == [], reported(result)
    wrong = {name for name, result in found.items() if result.level is Level.ATTENTION}
    assert wrong == {fault.check for fault in faults}
    assert stack.exit_code is ExitCode.ATTENTION


REPAIRED: tuple[Fault[Stack], ...] = (
    Fault(schedule_deletion, "secrets", ("restore-secret", "store.generation"), "restore-secret"),
    Fault(leave_empty_pending, "pending", ("--remove-from-version-id 000", "rotate-secret"), "remove AWSPENDING from"),
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", REPAIRED, ids=lambda fault: fault.__name__)
def test_repair_is_offered_and_repairs(fault: Fault[Stack], stack: Stack) -> None:
    prove(fault, stack)
    assert stack.exit_code is ExitCode.DONE


def test_another_account_is_the_only_finding(healthy: Stack) -> None:
    store = healthy.store.model_copy(update={"account": "9" * 12})
    healthy.manifest = healthy.manifest.model_copy(update={"store": store})
    found = healthy.look()
    others = {name: result for name, result in found.items() if name not in ("credentials", "broker")}
    assert {result.level for result in others.values()} == {Level.UNKNOWN}, others
    assert {result.value for result in others.values()} == {f"the AWS credentials belong to account {ACCOUNT}"}


@pytest.fixture
def rotating(healthy: Stack) -> Iterator[Stack]:
    leave_empty_pending(healthy)
    yield healthy
    healthy.aws.secrets_manager.update_secret_version_stage(
        SecretId=healthy.name, VersionStage="AWSPENDING", RemoveFromVersionId=STRAY
    )


def test_a_rotation_that_is_under_way_is_no_stray_label(rotating: Stack) -> None:
    rotating.service.ages.clear()
    found = rotating.look()["pending"]
    assert (found.level, found.value) == (Level.OK, f"under way: {rotating.name}")


def test_secret_of_another_stack_is_no_unknown_secret(healthy: Stack) -> None:
    for name in ("{}-other/mqtt", "{}other/mqtt", "{}+x/mqtt", "{}"):
        add_stranger(healthy, name)
    assert healthy.look()["unknown secrets"] == Result(Level.OK, "none")


def test_check_without_permission_is_unknown_and_names_the_action(rotating: Stack) -> None:
    rotating.service.refuses |= {"list_secrets", "list_secret_version_ids"}
    rotating.iam.refuses = True
    found = rotating.look()
    for check, action in {
        "unknown secrets": "secretsmanager:ListSecrets",
        "pending": "secretsmanager:ListSecretVersionIds",
        "your rights": "iam:SimulatePrincipalPolicy",
    }.items():
        assert found[check].level is Level.UNKNOWN
        assert action in reported(found[check])
    assert rotating.exit_code is ExitCode.ATTENTION


def test_a_holder_of_the_lease_that_lives_is_named_and_no_fault(healthy: Stack) -> None:
    timing = Timing(duration=1, renew=0.1, poll=0.05)
    with SecretsManagerVersionStore(healthy.store, timing=timing).lease("one that lives"):
        found = examining.lease(Account(healthy.store), timing)
    assert (found.level, found.value[:31]) == (Level.OK, "held by one that lives since 20")
    assert examining.lease(Account(healthy.store), timing) == Result(Level.OK, "free")


def test_an_answer_that_hangs_on_the_network_is_no_denial(healthy: Stack) -> None:
    deny_the_server(healthy)
    healthy.iam.unknown_context = True
    assert healthy.look()["readers' rights"].level is Level.OK
    requested = next(each for each in healthy.iam.requested if f":{healthy.name}-" in each["ResourceArns"][0])
    context = {each["ContextKeyName"]: each["ContextKeyValues"] for each in requested["ContextEntries"]}
    assert context["secretsmanager:resource/AllowRotationLambdaArn"][0].endswith("-rotate-mqtt")
    for session, role in (
        ("assumed-role/operator/ann", OPERATOR),
        ("assumed-role/other/ann", f"arn:aws:iam::{ACCOUNT}:role/found/other"),
    ):
        assert Account(healthy.store).principal(f"arn:aws:sts::{ACCOUNT}:{session}") == role


def test_unreachable_aws_is_called_once(healthy: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = []

    def client(account: Account, service: str) -> Any:
        requested.append(service)
        raise UnreachableError("no answer", code="test")

    monkeypatch.setattr(Account, "client", client)
    found = healthy.look()
    assert requested == ["sts"]
    assert {each.value for name, each in found.items() if name != "broker"} == {"no answer"}
