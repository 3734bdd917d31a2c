"""The stand-in for a cloud's provider: what it refuses and lets pass, and a small program on it by the real CLI."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import yaml
from pulumi.runtime.proto import provider_pb2

from tests.real.moto import REGION, Aws
from tests.tools.standin_inputs import (
    ALARM,
    AS_RIGHT,
    BUCKET,
    FUNCTION,
    GONE,
    KEY,
    LOCK,
    QUEUE,
    RIGHT,
    ROLE_POLICY,
    ROTATION,
    SCHEDULE,
    STORED,
    STORED_POLICY,
    TASK,
    TRAIL,
    WRONG,
)
from tests.unit.aws_stack import for_pods, for_this_machine, shipped, with_every_option
from tests.unit.harness import ca_file
from tools import clone
from tools.standin import choice, wire
from tools.standin.aws import credentials, identities
from tools.standin.aws.moto import Moto
from tools.standin.aws.provider import Aws as StandinAws
from tools.standin.cloud import RefusedError
from tools.standin.plugin import Standin
from tools.steps import SetupError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"


class AbortedError(Exception):
    """What grpc's context does with a refusal."""


class Context:
    """A call that ends as grpc's does."""

    def abort(self, code: Any, text: str) -> None:
        raise AbortedError(code, text)


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> Standin:
    """Configured as Pulumi does it, without credentials, moto or engine."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "STANDIN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    made = Standin(StandinAws("7.51.1"))
    made.Configure(provider_pb2.ConfigureRequest(args=wire.struct({"region": REGION})), Context())
    return made


def urn(token: str, name: str = "it") -> str:
    return f"urn:pulumi:prod::tiny::{token}::{name}"


def check(standin: Standin, token: str, inputs: Mapping[str, Any], **olds: object) -> Any:
    request = provider_pb2.CheckRequest(
        urn=urn(token), news=wire.struct(inputs), olds=wire.struct(olds), randomSeed=os.urandom(16)
    )
    return standin.Check(request, Context())


def reasons(answer: Any) -> list[str]:
    return [failure.reason for failure in answer.failures]


@pytest.mark.parametrize("token", RIGHT)
def test_what_is_right_passes(token: str, standin: Standin) -> None:
    assert reasons(check(standin, token, RIGHT[token])) == []


@pytest.mark.parametrize(("token", "name", "value"), AS_RIGHT)
def test_what_is_right_in_another_way_passes(token: str, name: str, value: object, standin: Standin) -> None:
    given = json.dumps(value) if name == "containerDefinitions" else value
    assert reasons(check(standin, token, {**RIGHT[token], name: given})) == []


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        (FUNCTION, {"code": GONE, "s3Bucket": "packages", "s3Key": "lambda.zip"}),
        (FUNCTION, {"code": GONE, "handler": GONE, "runtime": GONE, "packageType": "Image", "imageUri": "example:1"}),
        (ALARM, {"period": 3600, "evaluationPeriods": 168}),
        (ALARM, {"threshold": GONE, "thresholdMetricId": "a"}),
        (ALARM, {"statistic": GONE, "extendedStatistic": "p99"}),
        (TRAIL, {"cloudWatchLogsGroupArn": GONE, "cloudWatchLogsRoleArn": GONE}),
        (TASK, {"executionRoleArn": GONE, "containerDefinitions": json.dumps([{"name": "a", "image": "b"}])}),
        (TASK, {"requiresCompatibilities": ["EC2"], "networkMode": "bridge", "cpu": GONE, "memory": "300"}),
        (STORED, {"name": GONE, "namePrefix": "prod-"}),
    ],
)
def test_what_needs_another_passes_with_it(token: str, inputs: dict[str, Any], standin: Standin) -> None:
    given = {name: value for name, value in {**RIGHT[token], **inputs}.items() if value is not GONE}
    assert reasons(check(standin, token, given)) == []


def test_what_the_shipped_program_asks_for_passes(standin: Standin, tmp_path: Path) -> None:
    """By mocks, which know every ARN: what a preview leaves open is checked, too."""
    seen = set()
    for deployed in (shipped(ca_file(tmp_path)), with_every_option(), for_pods(), for_this_machine()):
        for name, asked in deployed.resources.items():
            if asked.type.startswith("aws:"):
                assert reasons(check(standin, asked.type, asked.inputs)) == [], name
                seen.add(asked.type)
    assert {ROLE_POLICY, STORED_POLICY, KEY, ROTATION, FUNCTION, ALARM, SCHEDULE, TRAIL, TASK} <= seen


@pytest.mark.parametrize(("token", "name", "value", "at"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_wrong_is_refused_where_it_is(token: str, name: str, value: object, at: str, standin: Standin) -> None:
    inputs = copy.deepcopy(RIGHT[token])
    inputs.pop(name, None)
    if value is not GONE:
        inputs[name] = json.dumps(value) if name == "containerDefinitions" else value
    answer = check(standin, token, inputs)
    told = reasons(answer)
    assert any(reason.startswith(f"{at}: ") for reason in told), told
    assert name in {failure.property for failure in answer.failures} | {at.partition(".")[0]}
    for reason in told:
        what, rule, remedy = reason.split("; ", 2)
        assert what and rule and remedy


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("automatically_after_day", "automatically_after_days"),
        ("automaticallyAfterDay", "automaticallyAfterDays"),
        ("automatically_after_days", "automaticallyAfterDays"),  # the SDK would have sent the right one in this form
    ],
)
def test_the_key_that_was_meant_is_named_in_the_form_of_the_wrong_one(wrong: str, right: str, standin: Standin) -> None:
    told = reasons(check(standin, ROTATION, {**RIGHT[ROTATION], "rotationRules": {wrong: 90}}))
    assert any(reason.endswith(f"; did you mean {right}?") for reason in told), told


def test_a_value_that_is_secret_stays_out_of_the_refusal(standin: Standin) -> None:
    value = os.urandom(12).hex()
    hidden = {wire.SIGNATURE: wire.SECRET, "value": value}
    for token, inputs in (
        (QUEUE, {"delaySeconds": hidden}),
        (STORED, {"tags": {"a": hidden}, "replicas": hidden}),
        (LOCK, {**RIGHT[LOCK], "rule": {"defaultRetention": {"mode": hidden, "days": 1, "years": 1}}}),
    ):
        told = reasons(check(standin, token, {**inputs}))
        assert told
        assert all(value not in one and "<hidden>" in one for one in told), told


@pytest.mark.parametrize("word", sorted(wire.UNKNOWNS))
def test_what_a_preview_cannot_know_passes_whatever_its_type(word: str, standin: Standin) -> None:
    for token, right in RIGHT.items():
        assert reasons(check(standin, token, dict.fromkeys(right, word))) == []


def test_a_name_is_made_once_and_kept(standin: Standin) -> None:
    first = wire.inputs(check(standin, QUEUE, {}).inputs)["name"]
    assert first.startswith("it-")
    again = wire.inputs(check(standin, QUEUE, {}, name=first, __defaults=["name"]).inputs)["name"]
    assert again == first
    given = wire.inputs(check(standin, QUEUE, {"name": "mine"}, name=first, __defaults=["name"]).inputs)["name"]
    assert given == "mine"


def diff(standin: Standin, token: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Any:
    request = provider_pb2.DiffRequest(urn=urn(token), old_inputs=wire.struct(olds), news=wire.struct(news))
    return standin.Diff(request, Context())


def test_a_change_of_what_a_thing_is_called_or_belongs_to_makes_a_new_one(standin: Standin) -> None:
    same = diff(standin, STORED, {"name": "a"}, {"name": "a"})
    assert same.changes == same.DIFF_NONE
    renamed = diff(standin, STORED, {"name": "a", "description": "x"}, {"name": "b", "description": "y"})
    assert list(renamed.replaces) == ["name"]
    assert list(renamed.diffs) == ["description", "name"]
    moved = diff(standin, ROTATION, {"secretId": "a", "rotateImmediately": True}, {"secretId": wire.UNKNOWN})
    assert list(moved.replaces) == ["secretId"]
    assert list(diff(standin, TASK, {"family": "a", "cpu": "256"}, {"family": "a", "cpu": "512"}).replaces) == ["cpu"]
    assert not diff(standin, TASK, {"tags": {}}, {"tags": {"a": "b"}}).replaces


def test_a_secret_of_the_same_value_is_no_change(standin: Standin) -> None:
    secret = {wire.SIGNATURE: wire.SECRET, "value": "a"}
    assert not diff(standin, STORED, {"description": "a"}, {"description": secret}).diffs


def test_a_preview_leaves_open_what_aws_computes(standin: Standin) -> None:
    request = provider_pb2.CreateRequest(urn=urn(STORED), properties=wire.struct({"name": "a"}), preview=True)
    made = standin.Create(request, Context())
    outputs = wire.plain_struct(made.properties)
    assert (made.id, outputs["name"], outputs["arn"]) == ("", "a", wire.UNKNOWN)


def test_without_leave_nothing_is_created_changed_or_deleted(standin: Standin) -> None:
    calls = {
        "Create": provider_pb2.CreateRequest(urn=urn(STORED), properties=wire.struct({"name": "a"})),
        "Update": provider_pb2.UpdateRequest(urn=urn(STORED), id="a", news=wire.struct({"name": "a"})),
        "Delete": provider_pb2.DeleteRequest(urn=urn(STORED), id="a"),
    }
    for name, request in calls.items():
        with pytest.raises(AbortedError, match="deploys nothing"):
            getattr(standin, name)(request, Context())


def test_every_type_gets_an_identity_that_no_account_has(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "up")
    for token, right in RIGHT.items():
        named = check(standin, token, right).inputs
        made = standin.Create(provider_pb2.CreateRequest(urn=urn(token), properties=named), Context())
        outputs = wire.plain_struct(made.properties)
        assert made.id, token
        if token != BUCKET and "arn" in outputs:  # a bucket's ARN names no account
            assert identities.ACCOUNT in outputs["arn"], token
        if "tagsAll" in outputs:
            assert outputs["tagsAll"] == right.get("tags", {}), token


def test_it_refuses_to_run_where_there_are_credentials(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    request = provider_pb2.ConfigureRequest(args=wire.struct({"region": REGION}))
    with pytest.raises(AbortedError, match="credentials"):
        standin.Configure(request, Context())
    monkeypatch.setenv(choice.VARIABLE, "preview")
    standin.Configure(request, Context())


def test_it_wants_a_region_and_knows_its_own_configuration(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="region"):
        standin.Configure(provider_pb2.ConfigureRequest(), Context())
    wrong = {"region": REGION, "profil": "me", "skipRegionValidation": '"yes"', "defaultTags": '{"tag": {}}'}
    told = reasons(standin.CheckConfig(provider_pb2.CheckRequest(news=wire.struct(wrong)), Context()))
    assert [reason.partition(":")[0] for reason in told] == ["defaultTags.tag", "profil", "skipRegionValidation"]


@pytest.mark.parametrize("url", ["https://secretsmanager.eu-west-1.amazonaws.com", "http://192.0.2.1:5000", "nonsense"])
def test_secrets_are_made_on_this_machine_or_not_at_all(url: str) -> None:
    with pytest.raises(RefusedError, match="this machine"):
        Moto(url)


def test_a_function_or_type_that_it_does_not_know_is_said(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="getAmi"):
        standin.Invoke(provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi"), Context())
    with pytest.raises(AbortedError) as refused:
        check(standin, "aws:secretsmanager/secret:Secrets", {})
    assert refused.value.args[0] is grpc.StatusCode.UNIMPLEMENTED


def test_where_one_is_can_be_asked(standin: Standin) -> None:
    def asked(token: str, **arguments: object) -> dict[str, Any]:
        request = provider_pb2.InvokeRequest(tok=token, args=wire.struct(arguments))
        return wire.inputs(getattr(standin.Invoke(request, Context()), "return"))

    assert asked("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == identities.ACCOUNT
    assert asked("aws:index/getRegion:getRegion")["region"] == REGION
    assert asked("aws:index/getRegion:getRegion", region="us-east-1")["region"] == "us-east-1"
    assert asked("aws:index/getPartition:getPartition")["partition"] == "aws"


@pytest.mark.parametrize(
    ("said", "found", "standin", "may_deploy"),
    [
        ("", "", True, False),
        ("", "env", False, True),
        ("preview", "env", True, False),
        ("up", "", True, True),
        ("never", "", False, True),
    ],
)
def test_credentials_and_the_variable_choose_the_provider(
    said: str, found: str, standin: bool, may_deploy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, said)
    chosen = choice.choose(found)
    assert (chosen.standin, chosen.may_deploy) == (standin, may_deploy)


def test_a_word_that_the_variable_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "yes")
    with pytest.raises(choice.UnknownModeError, match="preview, up, never"):
        choice.choose("")


@dataclass
class SetUp:
    """`provide_aws` on a folder of tools of its own."""

    tools: Path

    @property
    def laid(self) -> bool:
        return (self.tools / "bin/pulumi-resource-aws").exists()


@pytest.fixture
def set_up(standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    monkeypatch.setattr(clone, "TOOLS", tmp_path)
    monkeypatch.setattr(clone, "_built", lambda _: False)  # the official CLI fetches providers by itself
    return SetUp(tmp_path)


def test_set_up_says_which_provider_a_stack_runs_on_and_lays_the_stand_in_only_then(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clone.provide_aws("prod", deploys=False)
    assert set_up.laid
    assert "STAND-IN" in capsys.readouterr().out
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    clone.provide_aws("prod", deploys=True)
    assert not set_up.laid
    said = capsys.readouterr().out
    assert "Pulumi's own AWS provider" in said and "credentials from env" in said


def test_make_up_is_refused_on_the_stand_in_unless_the_variable_says_so(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetupError, match="deploys nothing"):
        clone.provide_aws("prod", deploys=True)
    assert not set_up.laid
    monkeypatch.setenv(choice.VARIABLE, "up")
    clone.provide_aws("prod", deploys=True)
    assert set_up.laid


def test_only_a_stack_of_aws_asks_for_it() -> None:
    assert clone.asks_for("aws", "prod")
    assert not clone.asks_for("aws", "dev")
    assert not clone.asks_for("aws", "of-nobody")


def test_a_role_of_a_container_and_a_profile_that_is_not_there_are_credentials(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert credentials.source() == ""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in credentials.source()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")
    assert credentials.source() == "container-role"


PROGRAM = """
import json, pulumi, pulumi_aws as aws
config = pulumi.Config()
key = aws.kms.Key("key", enable_key_rotation=True, deletion_window_in_days=7)
aws.kms.Alias("alias", name="alias/tiny", target_key_id=key.key_id)
secret = aws.secretsmanager.Secret(
    "secret", kms_key_id=key.arn, recovery_window_in_days=0, description=config.get("description"))
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]}
read = lambda arn: json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}]})
role = aws.iam.Role("role", assume_role_policy=json.dumps(trust))
aws.iam.RolePolicy("policy", role=role.name, policy=secret.arn.apply(read))
aws.secretsmanager.SecretPolicy("guard", secret_arn=secret.arn, policy=pulumi.Output.all(secret.arn, role.arn).apply(
    lambda both: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": both[0],
        "Principal": {"AWS": both[1]}, "Action": "secretsmanager:GetSecretValue"}]})))
queue = aws.sqs.Queue("queue", message_retention_seconds=config.get_int("retention") or 60)
pulumi.export("secret", secret.arn)
pulumi.export("role", role.name)
pulumi.export("key", key.key_id)
pulumi.export("account", aws.get_caller_identity().account_id)
"""


PLANTED: dict[str, tuple[str, str]] = {
    # what is wrong, the resource that it is in, where it is told
    "a nested unknown key": (
        """SecretRotation("it", secret_id="a", rotation_rules={"automatically_after_day": 90})""",
        "rotationRules.automatically_after_day",
    ),
    "an unknown key in a text of JSON": (
        """TaskDefinition("it", family="a", container_definitions='[{"name": "a", "image": "b", "secret": []}]')""",
        "containerDefinitions[0].secret",
    ),
    "a missing nested argument": (
        """Listener("it", load_balancer_arn="a", default_actions=[{"target_group_arn": "b"}])""",
        "defaultActions[0].type",
    ),
    "an enum's member that is none": (
        """TaskDefinition("it", family="a", requires_compatibilities=["fargate"], container_definitions="[]")""",
        "requiresCompatibilities[0]",
    ),
    "a number as text": ("""Secret("it", recovery_window_in_days="30")""", "recoveryWindowInDays"),
    "a number out of its range": ("""Secret("it", recovery_window_in_days=3)""", "recoveryWindowInDays"),
}
"""One of each sort of WRONG, as a program would have it: the SDK lets it pass."""


@dataclass
class Tiny:
    """A project of one file, on the stand-in, by the real CLI."""

    home: Path
    moto: Aws

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "STANDIN"))}
        return subprocess.run(
            [str(BIN / "pulumi"), *arguments, "--non-interactive"],
            cwd=self.home / "project",
            env={
                **kept,
                "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.home),
                "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
                "PULUMI_HOME": str(self.home / "pulumi"),
                "PULUMI_CONFIG_PASSPHRASE": "",
                "AWS_REGION": REGION,
                "NO_COLOR": "1",
                "STANDIN_MOTO_URL": self.moto.url,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def did(self, *arguments: str, **environment: str) -> str:
        done = self.run(*arguments, **{"STANDIN": "up", **environment})
        assert done.returncode == 0, done.stdout
        return done.stdout

    def configure(self, **entries: object) -> None:
        file = self.home / "project" / "Pulumi.test.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump({**kept, "config": {f"tiny:{name}": entry for name, entry in entries.items()}}))

    def outputs(self) -> dict[str, str]:
        done: dict[str, str] = json.loads(self.did("stack", "output", "--json"))
        return done


@pytest.fixture
def tiny(tmp_path: Path, moto: Aws) -> Tiny:
    if not (BIN / "pulumi").exists():
        pytest.fail("there is no pulumi in the environment: make setup")
    choice.lay(tmp_path / "bin", "aws", "7.51.1", clone=ROOT, python=BIN / "python")
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "state").mkdir()
    about = {"name": "tiny", "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
    (project / "Pulumi.yaml").write_text(json.dumps(about))
    (project / "__main__.py").write_text(PROGRAM)
    made = Tiny(tmp_path, moto)
    made.did("stack", "init", "test")
    return made


@pytest.mark.real
def test_a_program_goes_up_is_quiet_changes_and_is_destroyed_and_its_secrets_were_in_moto(tiny: Tiny) -> None:
    said = tiny.did("up", "--yes", "--skip-preview")
    assert "STAND-IN for aws" in said
    outputs = tiny.outputs()
    secrets, roles = tiny.moto.secrets_manager, tiny.moto.client("iam")
    about = secrets.describe_secret(SecretId=outputs["secret"])
    assert about["KmsKeyId"].endswith(f":{outputs['account']}:key/{outputs['key']}")
    assert "VersionIdsToStages" not in about, "no value is written"
    assert secrets.get_resource_policy(SecretId=outputs["secret"])["ResourcePolicy"]
    assert roles.list_role_policies(RoleName=outputs["role"])["PolicyNames"]

    said = tiny.did("preview", "--expect-no-changes", STANDIN="preview")
    assert said.partition("Diagnostics:")[2].count("STAND-IN") == 1

    tiny.configure(description="for the server")
    assert "1 updated" in tiny.did("up", "--yes", "--skip-preview")
    assert secrets.describe_secret(SecretId=outputs["secret"])["Description"] == "for the server"
    assert tiny.outputs() == outputs

    secrets.delete_secret(SecretId=outputs["secret"], ForceDeleteWithoutRecovery=True)
    assert "deleted" in tiny.did("refresh", "--yes", "--skip-preview")
    tiny.did("destroy", "--yes", "--skip-preview")
    assert outputs["role"] not in [one["RoleName"] for one in roles.list_roles()["Roles"]]
    key = tiny.moto.client("kms").describe_key(KeyId=outputs["key"])["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"


@pytest.mark.real
def test_the_cli_shows_a_refusal_and_changes_nothing(tiny: Tiny) -> None:
    tiny.configure(retention=7)
    done = tiny.run("preview")
    assert done.returncode != 0
    assert "messageRetentionSeconds: 7; AWS takes 60 to 1209600; stay within that" in done.stdout
    tiny.configure(retention=70)
    assert tiny.run("preview").returncode == 0, "a preview needs neither credentials nor leave"
    done = tiny.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "deploys nothing" in done.stdout
    kept = json.loads(tiny.did("stack", "export"))["deployment"]["resources"]
    assert all(one["type"].startswith("pulumi:") for one in kept)
    assert tiny.run("destroy", "--yes", "--skip-preview").returncode == 0, "as the page says"
    assert "resources" not in json.loads(tiny.did("stack", "export"))["deployment"]


@pytest.mark.real
def test_what_is_planted_in_a_program_is_refused_where_it_is(tiny: Tiny) -> None:
    for what, (planted, at) in PLANTED.items():
        (tiny.home / "project" / "__main__.py").write_text(
            "from pulumi_aws.ecs import TaskDefinition\nfrom pulumi_aws.lb import Listener\n"
            f"from pulumi_aws.secretsmanager import Secret, SecretRotation\n{planted}\n"
        )
        done = tiny.run("preview")
        assert done.returncode != 0, what
        assert f" has a problem: {at}: " in done.stdout, f"{what}\n{done.stdout}"
