"""The Lambda functions, on a Secrets Manager stand-in with AWS' rules, and a real mosquitto."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed: the extra `aws`")

from botocore.exceptions import ClientError

from secretops.errors import UsageError
from secretops.operations.put import put
from secretops.operations.session import Session
from secretops.operations.tick import tick
from secretops.platforms.aws import lambda_handler
from secretops.platforms.aws.api import connect
from secretops.platforms.aws.lambda_handler import LambdaError
from secretops.values import Value, new_password
from tests.real.aws_stack import STEPS, AwsStack, make_aws_stack
from tests.real.mosquitto import Mosquitto
from tests.real.moto import ACCOUNT, REGION, Aws

pytestmark = pytest.mark.real


@pytest.fixture
def stack(mosquitto: Mosquitto, moto_environment: Aws) -> AwsStack:
    made = make_aws_stack(mosquitto.broker(), moto_environment)
    made.put("broker-admin", dict(mosquitto.admin))
    return made


def test_three_rotations_alternate_users_and_readers_can_always_log_in(stack: AwsStack) -> None:
    used: list[Value] = []
    for _ in range(3):
        token = stack.begin()
        for step in STEPS:
            stack.step(step, token)
            if used or step == "finishSecret":
                assert stack.log_in() == "Success", step
        stack.step("finishSecret", token)  # AWS retries when the answer was lost
        assert stack.labels()[token] == {"AWSCURRENT"}
        used.append(stack.delivered())
        stack.skip_grace()
    assert [value["username"] for value in used] == [*(stack.manifest.secret("mqtt").users), used[0]["username"]]
    assert stack.log_in(used[0]) != "Success", "its user has another password by now"
    assert stack.log_in(used[1]) == "Success"
    assert "retired" in str(stack.tick_function()["mqtt"])
    assert stack.log_in(used[1]) != "Success"
    assert stack.log_in() == "Success"


def test_first_test_step_passes_when_no_secret_has_a_value(stack: AwsStack) -> None:
    """The state is that of the first `pulumi up`. The broker requires a client certificate, which is missing, too."""
    broker = stack.manifest.broker.model_copy(update={"certificate_secret": "client-cert"})
    stack.manifest = stack.manifest.model_copy(update={"broker": broker})
    token = stack.begin()
    stack.step("testSecret", token)
    with pytest.raises(LambdaError, match="secretops put client-cert"):
        stack.step("createSecret", token)


def test_rotating_a_supplied_secret_is_refused_and_a_put_works(stack: AwsStack) -> None:
    supplied = new_password()
    stack.put("agent-key", {"api-key": supplied})
    token = stack.begin("agent-key")
    for step in STEPS:
        with pytest.raises(LambdaError, match=r"\[secret-not-rotated\][\s\S]*secretops put agent-key"):
            stack.step(step, token, "agent-key")
    stack.tick_function()
    assert stack.labeled("AWSCURRENT", "agent-key") == {"api-key": supplied}
    stack.put("agent-key", {"api-key": supplied + "2"})
    assert stack.labeled("AWSCURRENT", "agent-key") == {"api-key": supplied + "2"}


@pytest.mark.slow
def test_due_rotation_is_left_to_aws_and_named_late(stack: AwsStack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.all_steps(stack.begin())
    token = stack.delivered()
    stack.clock.skip(timedelta(days=90, hours=1).total_seconds())
    stack.tick_function()
    assert stack.delivered() == token
    assert _metrics(capsys)["Overdue"] == 0
    stack.clock.skip(timedelta(days=1).total_seconds())
    done = str(stack.tick_function()["mqtt"])
    assert "overdue since" in done and "published" in done, (
        "a rotation that the schedule missed is started and reported"
    )
    assert stack.delivered() != token
    assert stack.log_in() == "Success"
    output = _metrics(capsys)
    assert (output["Overdue"], output["Failed"], output["Stack"]) == (1, 0, "test")
    stack.skip_grace()
    stack.clock.skip(timedelta(days=90).total_seconds())
    stack.cancel()
    done = str(stack.tick_function()["mqtt"])
    assert "published" in done and "overdue" not in done, "nobody else rotates it"


def test_schedule_of_aws_is_read_from_aws(stack: AwsStack) -> None:
    stack.begin()
    scheduled = lambda_handler._Scheduled(stack.session())
    assert [name for name in ("mqtt", "broker-admin", "somebody's") if name in scheduled] == ["mqtt"]
    stack.cancel()
    assert "mqtt" not in scheduled


@pytest.mark.slow
def test_abandoned_empty_pending_version_is_released_for_aws(stack: AwsStack) -> None:
    """A rotation leaves an empty pending version if its first step is refused, here because of the grace period."""
    stack.all_steps(stack.begin())
    stack.skip_grace()
    stack.all_steps(stack.begin())
    token = stack.begin()
    with pytest.raises(LambdaError, match=r"\[grace-not-over\]"):
        stack.step("createSecret", token)
    for hours in (0, 1, 1.9):
        stack.clock.skip(hours * 3600)
        assert "AWSPENDING" not in str(stack.tick_function()["mqtt"])
        stack.clock.skip(-hours * 3600)
        assert stack.labels()[token] == {"AWSPENDING"}, "its step may still be tried"
    with pytest.raises(ClientError, match="previous rotation"):
        stack.begin()
    stack.clock.skip(2 * 3600)
    assert f"removed AWSPENDING from version {token}" in str(stack.tick_function()["mqtt"])
    assert token not in stack.service.describe_secret(SecretId=stack.place.secrets["mqtt"])["VersionIdsToStages"]
    with pytest.raises(LambdaError, match=r"\[version-not-pending\]"):
        stack.step("createSecret", token)
    stack.all_steps(stack.begin())
    assert stack.log_in() == "Success"


def test_tick_counts_a_failed_secret_and_goes_on(stack: AwsStack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.all_steps(stack.begin())
    stack.put("agent-key", {"api-key": new_password()})
    name = stack.place.secrets["agent-key"]
    stack.service.put_secret_value(SecretId=name, SecretString=json.dumps({"api-key": new_password()}))
    stack.skip_grace()
    began = stack.clock()
    with pytest.raises(LambdaError, match=r"\[value-edited\]"):
        stack.tick_function()
    assert _metrics(capsys)["Failed"] == 1
    current = stack.session().store.versions("mqtt").current
    assert current and current.verified and current.verified > began - timedelta(seconds=1)


def test_tick_leaves_the_work_to_the_next_when_a_command_holds_the_lease(
    stack: AwsStack, caplog: pytest.LogCaptureFixture
) -> None:
    with stack.session().lease("a command"):
        assert list(stack.tick_function()) == ["lease"]
    assert [one.levelname for one in caplog.records if "[lease-held]" in one.message] == ["WARNING"]


def test_no_value_is_logged_or_raised(stack: AwsStack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "secretops")
    reported: list[str] = []
    token = stack.begin()
    stack.step("createSecret", token)
    values = [stack.labeled("AWSCURRENT", "broker-admin"), stack.labeled("AWSPENDING")]
    with pytest.raises(LambdaError, match=r"^RefusedError: ") as failure:
        stack.step("testSecret", token)  # not set yet
    reported.append(str(failure.value))
    assert failure.value.__cause__ is None and failure.value.__suppress_context__
    stack.all_steps(token)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AwsStack, "session", lambda *_: (_ for _ in ()).throw(TypeError(values[-1]["password"])))
        with pytest.raises(LambdaError, match="TypeError") as failure:
            stack.step("createSecret", token)
        reported.append(str(failure.value))
    assert "finishSecret: done" in caplog.text
    assert "TypeError: <hidden>" in caplog.text
    leaks = sum(value["password"] in caplog.text + "".join(reported) for value in values)
    assert leaks == 0  # a failure must not print a value


ELSEWHERE = "999999999999"


@pytest.fixture
def other_account(stack: AwsStack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a client of another account with secrets of the same names, and set its credentials in the environment."""
    role = f"arn:aws:iam::{ELSEWHERE}:role/somebody"
    found = stack.aws.client("sts").assume_role(RoleArn=role, RoleSessionName="ann")["Credentials"]
    for variable, key in (("ACCESS_KEY_ID", "AccessKeyId"), ("SECRET_ACCESS_KEY", "SecretAccessKey")):
        monkeypatch.setenv(f"AWS_{variable}", found[key])
    monkeypatch.setenv("AWS_SESSION_TOKEN", found["SessionToken"])
    client = connect(REGION)
    for name in stack.place.secrets.values():
        assert f":{ELSEWHERE}:" in client.create_secret(Name=name)["ARN"]
    return client


def test_credentials_of_another_account_are_refused_before_any_write(stack: AwsStack, other_account: Any) -> None:
    session = Session.open(stack.manifest, role="operator")
    for act in (lambda: put(session, "agent-key", Value({"api-key": new_password()})), lambda: tick(session)):
        with pytest.raises(UsageError, match=rf"{ELSEWHERE} \[aws-account-mismatch\]\n.*{ACCOUNT}"):
            act()
    for name in stack.place.secrets.values():
        assert "VersionIdsToStages" not in other_account.describe_secret(SecretId=name)


def _metrics(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    return dict(json.loads(lines[-1]))
