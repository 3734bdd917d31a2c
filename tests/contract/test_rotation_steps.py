"""The order of steps and tokens in which Secrets Manager may call a rotation function, and the result of each call.

The cases follow the checks of the template in github.com/aws-samples/aws-secrets-manager-rotation-lambdas
(SecretsManagerRotationTemplate/lambda_function.py). moto replaces AWS, `Users` the broker.
"""

from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("boto3", reason="boto3 is not installed: the extra `aws`")

from secretops.engine.state import Stage, Version
from secretops.errors import RefusedError, StoreError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import broker_access, rotators
from secretops.operations import tick as ticks
from secretops.platforms.aws import lambda_handler
from secretops.platforms.aws.labels import NO_VALUE
from secretops.platforms.aws.lambda_handler import LambdaError
from secretops.values import Value, new_password
from tests.real.aws_stack import STEPS, AwsStack, make_aws_stack
from tests.real.moto import Aws
from tests.real.strict_secrets_manager import CURRENT, PENDING, StrictSecretsManager

pytestmark = pytest.mark.real

CREATE, SET, TEST, FINISH = STEPS
DONE, NONE = "done", None
NO_VALUE_YET, REPLACED, OFF = r"\[version-value-missing\]", r"\[version-not-pending\]", r"\[rotation-disabled\]"
REFUSED = "refuses user"
PREVIOUS_ID, CURRENT_ID = "previous".ljust(32, "-"), "current-".ljust(32, "-")


class Users(dict[str, str]):
    def apply(self, _admin: Value, credential: Value, *, new: bool = False) -> None:  # noqa: ARG002
        self[credential["username"]] = credential["password"]

    def verify(self, credential: Value) -> None:
        if self.get(credential["username"]) != credential["password"]:
            raise RefusedError(f"the broker refuses user {credential['username']}", code="test")

    def retire(self, _admin: Value, username: str) -> None:
        del self[username]

    def guards_reports(self, _admin: Value, _usernames: Sequence[str]) -> bool:
        return False


class Case:
    """The calls, and the expected result of each. `mqtt` has a current and a previous version, unless `first` is
    set."""

    def __init__(self, *calls: tuple[str, str, str], current: str = "current", first: bool = False, **options: Any):
        self.calls, self.current, self.first, self.options = calls, current, first, options


def in_order(token: str = "new", outcome: str = DONE) -> Sequence[tuple[str, str, str]]:
    return [(step, token, outcome) for step in STEPS]


CASES = {
    "each step once": Case(*in_order(), current="new"),
    "each step twice": Case(*(call for call in in_order() for _ in range(2)), current="new"),
    "each step again at the end": Case(*in_order(), *in_order(), current="new"),
    "from the first step again after an error": Case(*in_order()[:3], *in_order(), current="new"),
    "without the test": Case(*(call for call in in_order() if call[0] != TEST), current="new"),
    "first value": Case(*in_order(), current="new", first=True),
    "first value, whose empty version is current": Case(*in_order(), current="new", first=True, empty_current=True),
    "first value, created": Case((CREATE, "new", DONE), current="nothing", first=True),
    "first value, created, empty is current": Case((CREATE, "new", DONE), current="nothing", first=True,
         empty_current=True),
    "test of a configuration": Case((TEST, "new", DONE)),
    "test of a configuration, no value": Case((TEST, "new", DONE), current="empty", first=True),
    "test of a configuration, not enabled yet": Case((TEST, "new", DONE), enabled=NONE),
    "set before create": Case((SET, "new", NO_VALUE_YET)),
    "finish before create": Case((FINISH, "new", NO_VALUE_YET)),
    "test before set": Case((CREATE, "new", DONE), (TEST, "new", REFUSED)),
    "finish before set": Case((CREATE, "new", DONE), (FINISH, "new", REFUSED)),
    "set twice, then in order": Case((CREATE, "new", DONE), (SET, "new", DONE), *in_order(), current="new"),
    **{f"{step} of an unknown version": Case((step, "unknown", REPLACED)) for step in STEPS},
    **{f"{step} of the previous version": Case((step, "previous", REPLACED)) for step in STEPS},
    **{f"{step} of the current version": Case((step, "current", DONE)) for step in STEPS},
    **{f"{step} of a cancelled rotation": Case((CREATE, "new", DONE), ("cancel", "", DONE),
          (step, "cancelled", REPLACED), *in_order(), current="new") for step in STEPS},
    **{f"{step} while rotation is off": Case((step, "new", OFF), enabled=False) for step in STEPS},
    **{f"{step}, never configured": Case((step, "new", OFF), enabled=NONE) for step in STEPS if step != TEST},
    "an unknown step": Case(("deleteSecret", "new", r"Step deleteSecret.*\[lambda-event-invalid\]")),
    "no step": Case(("", "new", "Step missing")),
    "no token": Case((CREATE, "", "ClientRequestToken missing")),
    "no secret": Case((CREATE, "new", "SecretId missing"), secret=""),
    "an empty event": Case(("", "", "Step missing, SecretId missing, ClientRequestToken missing"), secret=""),
}  # fmt: skip


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> Users:
    made = Users()
    for module in (broker_access, rotators, ticks):
        monkeypatch.setattr(module, "open_target", lambda *_: made)
    monkeypatch.setattr(broker_access, "publish_hint", lambda *_: None)
    return made


@pytest.fixture
def stack(users: Users, moto: Aws) -> AwsStack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="nowhere", port=1, protocol=MqttProtocol.V5, tls=True)
    made = make_aws_stack(broker, moto)
    publish(made, "broker-admin", "admin-of-broker".ljust(32, "-"), "boss", users)
    return made


def publish(stack: AwsStack, name: str, token: str, user: str, users: Users) -> None:
    store, now = stack.session().store, stack.clock()
    users[user] = new_password()
    version = Version(id=token, stage=Stage.PENDING, created=now, user=user)
    store.add(name, version, Value({"username": user, "password": users[user]}))
    store.publish(name, token, now)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_call_of_a_step_is_idempotent_and_refused_out_of_order(stack: AwsStack, users: Users, case: Case) -> None:
    tokens = {"previous": PREVIOUS_ID, "current": CURRENT_ID, "unknown": "unknown-".ljust(32, "-"), "": ""}
    if not case.first:
        for token, user in zip((PREVIOUS_ID, CURRENT_ID), stack.manifest.secret("mqtt").users, strict=True):
            publish(stack, "mqtt", token, user, users)
        stack.skip_grace()
    tokens["new"] = stack.begin()
    secret = stack.service._kept(stack.place.secrets["mqtt"])
    secret.rotation_enabled = case.options.get("enabled", True)
    if case.options.get("empty_current"):
        secret.versions[tokens["new"]]["version_stages"] = [CURRENT, PENDING]
    made: dict[str, Value] = {}
    for step, token, outcome in case.calls:
        if step == "cancel":
            tokens |= {"cancelled": tokens["new"], "new": stack.begin(cancelled=True)}
            continue
        event = {**stack.event(step, tokens[token]), **({"SecretId": ""} if "secret" in case.options else {})}
        if outcome == DONE:
            stack.call({key: text for key, text in event.items() if text})
        else:
            with pytest.raises(LambdaError, match=outcome):
                stack.call({key: text for key, text in event.items() if text})
        if (step, token, outcome) == (CREATE, "new", DONE) and tokens["new"] not in current(stack):
            value = stack.labeled(PENDING)
            assert made.setdefault(tokens["new"], value) == value, "createSecret keeps the value that it made"
    assert tokens.get("cancelled") not in stack.labels(), "AWS keeps a value that has a label"
    assert current(stack) == {"nothing": [NO_VALUE], "empty": []}.get(case.current, [tokens.get(case.current, "")])
    if case.current in ("new", "current"):
        users.verify(stack.delivered())


def current(stack: AwsStack) -> list[str]:
    return [version for version, labels in stack.labels().items() if CURRENT in labels]


def test_steps_are_those_that_secrets_manager_calls() -> None:
    assert lambda_handler.STEPS == STEPS


def test_rotation_that_begins_by_outdated_labels_changes_no_password(
    stack: AwsStack, users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    for token, user in zip((PREVIOUS_ID, CURRENT_ID), stack.manifest.secret("mqtt").users, strict=True):
        publish(stack, "mqtt", token, user, users)
    stack.skip_grace()
    stack.tick_function()
    name, service, real = stack.place.secrets["mqtt"], stack.service, StrictSecretsManager.describe_secret
    outdated = real(service, SecretId=name)
    stack.all_steps(stack.begin())
    before, session = dict(users), stack.session("rotator")

    def read(_: object, *, SecretId: str) -> Any:  # noqa: N803
        return outdated if SecretId == name else real(service, SecretId=SecretId)

    monkeypatch.setattr(StrictSecretsManager, "describe_secret", read)
    with session.lease("a rotation"), pytest.raises(StoreError, match=r"\[(aws-request-failed|write-conflict)\]"):
        rotators.rotation(session, session.secret("mqtt")).advance()
    assert users == before


class Counted:
    """A client that records its requests."""

    def __init__(self, client: Any, sent: list[str]) -> None:
        self._client, self._sent = client, sent

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def send(**request: Any) -> Any:
            self._sent.append(name)
            return method(**request)

        return send if name in REQUESTS else method


REQUESTS = ("describe_secret", "get_secret_value", "put_secret_value", "update_secret_version_stage", "update_item")
MOST_REQUESTS = 40  # A rotation's, its retirement included.


def test_a_rotation_makes_at_most_40_requests(stack: AwsStack, users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """This counts the requests of the steps, and those that a retirement adds to a tick without work."""
    sent: list[str] = []
    service, dynamodb = AwsStack.service.fget, Aws.dynamodb  # type: ignore[attr-defined]
    for token, user in zip((PREVIOUS_ID, CURRENT_ID), stack.manifest.secret("mqtt").users, strict=True):
        publish(stack, "mqtt", token, user, users)
    stack.skip_grace()
    stack.tick_function()
    token = stack.begin()
    monkeypatch.setattr(AwsStack, "service", property(lambda self: Counted(service(self), sent)))
    monkeypatch.setattr(Aws, "dynamodb", lambda *requested: Counted(dynamodb(*requested), sent))
    events = [stack.event(step, token) for step in STEPS]
    sent.clear()
    stack.skip_grace()
    counts = []

    def rotate() -> None:
        for event in events:
            stack.call(event)

    for act in (rotate, stack.tick_function, stack.tick_function):
        act()
        counts.append(len(sent))
        stack.skip_grace()
        sent.clear()
    steps, retiring, idle = counts
    assert users.keys() & set(stack.manifest.secret("mqtt").users) == {stack.delivered()["username"]}, "it has retired"
    assert steps + retiring - idle <= MOST_REQUESTS, counts
