"""The four steps of a Lambda rotation killed at any effect: AWS begins again under the same token, or an operator under
another one. What readers find logs in all the while, and all is well afterwards. Also when a step or a tick is not
killed but stalled, followed meanwhile, and wakes.

An effect is a write to Secrets Manager (a stand-in that keeps AWS' rules) or a message to a real mosquitto.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import pytest

from secretops.entrypoints import aws_lambda
from secretops.entrypoints.aws_lambda import LambdaError
from secretops.stores.leases import Timing
from secretops.stores.secrets_manager import SecretsManagerVersionStore
from secretops.stores.secrets_manager.api import labels_of
from secretops.stores.secrets_manager.lease import holder_of
from secretops.targets.connection import Connection
from tests.gates.doomed import Doomed, Moment, begin
from tests.real.aws_stack import STEPS, AwsStack, make_aws_stack
from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.real.stack import Readers
from tests.real.strict_secrets_manager import CURRENT, StrictSecretsManager, strict

pytestmark = pytest.mark.real


EFFECTS = (
    (StrictSecretsManager, "put_secret_value"),
    (StrictSecretsManager, "update_secret_version_stage"),
    (Connection, "publish"),
)

READS = ((StrictSecretsManager, "get_secret_value"),)

MOST_READS = 3
"""Of a tick: the one that asks what servers report, the admin's to retire a user, and the one that proves the current
one. Of setSecret there are two."""

FIRST = ("put_secret_value", "publish", "publish")
"""The first effect of each step but the last one."""


@pytest.fixture
def stack(mosquitto: Mosquitto, moto_environment: Aws) -> AwsStack:
    """A stack whose broker-admin has been put, and which has no credential yet."""
    made = make_aws_stack(mosquitto.broker(), moto_environment)
    made.put("broker-admin", dict(mosquitto.admin))
    return made


def test_a_rotation_killed_at_any_effect_is_ended_by_its_own_token_or_by_another_one(stack: AwsStack) -> None:
    stack.all_steps(stack.begin())
    with Readers(stack) as readers:
        token = next_token(stack, readers)
        recorded = invoke(stack, token)
        assert recorded.end() == 0, recorded.moments
        moments = recorded.moments
        effects = {f"{when} {name}" for _, name in EFFECTS for when in ("before", "after")}
        assert {*moments} == effects | {f"after {step}" for step in STEPS}
        # Between two effects there is one moment, called after the one and before the other.
        for kill_at in [at for at, moment in enumerate(moments) if moment.startswith("before")] + [len(moments) - 2]:
            token = next_token(stack, readers)
            killed(stack, token, moments[: kill_at + 1])
            over(stack, token)
        begun = [0, *(moments.index(f"after {step}") for step in STEPS[:-1])]
        within = [moments.index(f"after {effect}", at) for at, effect in zip(begun, FIRST, strict=False)]
        for kill_at in sorted({*begun[1:], *within}):
            abandoned = next_token(stack, readers)
            killed(stack, abandoned, moments[: kill_at + 1])
            over(stack, stack.begin(cancelled=True))
            with pytest.raises(LambdaError, match="another rotation took its place"):
                stack.step("finishSecret", abandoned)
        assert readers.failures == []
        print(f"{len(moments)} moments, {readers.connects} logins meanwhile, 0 failed")
    stack.skip_grace()
    before = stack.labelled("AWSPREVIOUS")
    stack.tick_function()
    assert stack.log_in(before) != "Success"
    assert stack.log_in() == "Success"


def test_a_rotation_killed_at_the_first_effect_of_a_step_is_followed_in_the_lease_that_it_held(stack: AwsStack) -> None:
    stack.all_steps(stack.begin())
    with Readers(stack) as readers:
        recorded = invoke(stack, next_token(stack, readers), leased=True)
        assert recorded.end() == 0, recorded.moments
        moments = recorded.moments
        for step in STEPS[0], STEPS[2]:  # before setSecret's first, and before finishSecret's
            at = moments.index(f"after {step}")
            kill_at = next(at for at in range(at, len(moments)) if moments[at].startswith("before"))
            token = next_token(stack, readers)
            killed(stack, token, moments[: kill_at + 1], leased=True)
            lease = stack.service.describe_secret(SecretId=stack.place.lease)
            assert holder_of(labels_of(cast(Any, lease))), "it was killed while it held the lease"
            over(stack, token, leased=True)
        assert readers.failures == []


def invoke(stack: AwsStack, token: str, *, kill_at: int | None = None, leased: bool = False) -> Doomed:
    """AWS' four calls of the function, in one process of its own. `leased`: with the lease, which costs time."""
    events = [stack.event(step, token) for step in STEPS]
    return begin(functools.partial(call_all, stack, events, leased), kill_at=kill_at)


def killed(stack: AwsStack, token: str, moments: list[str], *, leased: bool = False) -> None:
    """AWS' calls, ended by SIGKILL at the last of `moments`."""
    doomed = invoke(stack, token, kill_at=len(moments) - 1, leased=leased)
    assert doomed.end() == -signal.SIGKILL
    assert doomed.moments == moments, "not the rotation that was recorded"
    assert stack.log_in() == "Success", moments[-1]


def over(stack: AwsStack, token: str, *, leased: bool = False) -> None:
    """AWS' calls once more, from the first step on: they end the rotation."""
    again = invoke(stack, token, leased=leased)
    assert again.end() == 0, again.moments
    assert [version for version, labels in stack.labels().items() if CURRENT in labels] == [token]
    assert stack.log_in() == "Success"
    version = stack.session().store.versions("mqtt").current
    assert version and version.verified and version.published


def call_all(stack: AwsStack, events: list[dict[str, str]], leased: bool, moment: Moment) -> None:
    """Without the lease, most of the time: a killed holder of it costs a second."""
    watch(stack, EFFECTS, moment)
    if not leased:
        setattr(SecretsManagerVersionStore, "lease", lambda *_: contextlib.nullcontext())  # noqa: B010 - mypy
    for event in events:
        stack.call(event)
        moment(f"after {event['Step']}")


def watch(stack: AwsStack, calls: Iterable[tuple[type, str]], moment: Moment) -> None:
    """Come to a moment before and after each of `calls`, in this process. Those about the lease are no rotation's."""
    os.environ.update(stack.environment)

    def watched(of: type, name: str) -> None:
        real = getattr(of, name)

        def watching(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("SecretId") == stack.place.lease:
                return real(*args, **kwargs)
            moment(f"before {name}")
            answer = real(*args, **kwargs)
            moment(f"after {name}")
            return answer

        setattr(of, name, watching)

    for of, name in calls:
        watched(of, name)


@pytest.mark.parametrize("what", ["tick", "setSecret"])
def test_who_stalled_in_any_read_and_was_followed_meanwhile_changes_no_user_that_is_in_use_by_now(
    stack: AwsStack, what: str
) -> None:
    for _ in range(2):
        stack.all_steps(stack.begin())
        stack.skip_grace()
    recorded = begin(functools.partial(wake_late, stack, [waiting(stack, what)]))
    assert recorded.end() == 0, recorded.moments
    reads = [at for at, moment in enumerate(recorded.moments) if moment.startswith("before")][-MOST_READS:]
    assert len(reads) >= 2, "the admin's, and the user's"
    with Readers(stack) as readers:
        for stop_at in reads:
            stack.rotate(cut_off=True)
            readers.caught_up()
            stack.skip_grace()
            stalled = begin(functools.partial(wake_late, stack, [waiting(stack, what)]), stop_at=stop_at)
            while len(stalled.moments) <= stop_at:
                stalled.next_moment()
            followed(stack, what)
            readers.caught_up()
            stalled.wake()
            assert stalled.end() == 0, stalled.moments
            assert "not ours any more" in stalled.moments[-1], stalled.moments
            assert stack.log_in() == "Success", recorded.moments[: stop_at + 1]
        assert readers.failures == []


def test_after_a_rollback_by_hand_nobody_is_cut_off_before_the_grace_is_over(stack: AwsStack) -> None:
    for _ in range(2):
        stack.all_steps(stack.begin())
        stack.skip_grace()
    held = stack.delivered()
    ends = {"RemoveFromVersionId": CURRENT, "MoveToVersionId": "AWSPREVIOUS"}
    by_label = {label: version for version, labels in stack.labels().items() for label in labels}
    stack.service.update_secret_version_stage(
        SecretId=stack.place.secrets["mqtt"],
        VersionStage=CURRENT,
        **{end: by_label[label] for end, label in ends.items()},
    )
    for _ in range(2):
        stack.tick_function()
        with pytest.raises(LambdaError, match="may be in use until"):
            stack.step("createSecret", stack.begin(cancelled=True))
        assert (stack.log_in(), stack.log_in(held)) == ("Success", "Success"), "every reader still holds it"
    stack.skip_grace()
    stack.tick_function()
    assert stack.log_in() == "Success"
    assert stack.log_in(held) != "Success"


def waiting(stack: AwsStack, what: str) -> dict[str, str]:
    """What AWS calls with where the previous user waits to be retired, or the new one to be set."""
    if what == "tick":
        return {}
    token = stack.begin(cancelled=True)
    stack.step("createSecret", token)
    return stack.event(what, token)


def followed(stack: AwsStack, what: str) -> None:
    """Somebody else does what the stalled one was about to, and goes on to a new current version."""
    if what == "tick":
        stack.rotate()
    else:
        stack.all_steps(stack.begin(cancelled=True))


def wake_late(stack: AwsStack, events: list[dict[str, str]], moment: Moment) -> None:
    watch(stack, READS, moment)
    try:
        for event in events:
            stack.call(event) if event else stack.tick_function()
    except LambdaError as error:
        moment(str(error))


def next_token(stack: AwsStack, readers: Readers) -> str:
    """A rotation that begins when the readers of the last but one version have let it go."""
    readers.caught_up()
    stack.skip_grace()
    return stack.begin()


def test_functions_that_are_called_at_the_same_time_take_turns_and_what_readers_find_logs_in(stack: AwsStack) -> None:
    """A rotation and AWS' second attempt at it, the admin's rotation, and the tick: each in a process of its own."""
    stack.timing = Timing(look=0.1)  # nobody is to take another for dead on a slow machine
    stack.all_steps(stack.begin())
    with strict(stack.aws) as strictly, Readers(stack) as readers:
        called_on = replace(stack, aws=strictly, environment=strictly.environment)
        token, admin = next_token(stack, readers), stack.begin("broker-admin")
        steps = [stack.event(step, token) for step in STEPS]
        of_admin = [stack.event(step, admin, "broker-admin") for step in STEPS]
        called = [
            begin(functools.partial(call_at_once, called_on, each), hold_at=[0]) for each in (steps, steps, of_admin)
        ]
        called.append(begin(functools.partial(call_at_once, called_on, [{}]), hold_at=[0]))
        for each in called:
            each.next_moment()
        for each in called:
            each.go_on()
        assert [each.end() for each in called] == [0] * len(called), [each.moments for each in called]
        readers.caught_up()
        assert readers.failures == []
    for name, version in (("mqtt", token), ("broker-admin", admin)):
        assert [one for one, labels in stack.labels(name).items() if CURRENT in labels] == [version]
        assert stack.log_in(stack.labelled(CURRENT, name)) == "Success"
    assert len(stack.session().store.versions("mqtt").all) == 2, "the last one and the new one"


def call_at_once(stack: AwsStack, events: list[dict[str, str]], moment: Moment) -> None:
    """AWS' calls of one function, the tick's being an empty event. One that finds another at work is made again."""
    os.environ.update(stack.environment)
    aws_lambda.ASK_AGAIN = 0.1
    moment("ready")
    for event in events:
        while True:
            try:
                stack.call(event) if event else stack.tick_function()
                break
            except LambdaError as error:
                if "LeaseHeldError" not in str(error):
                    raise


def test_a_step_whose_killed_predecessor_holds_the_lease_waits_for_it_and_goes_on(stack: AwsStack) -> None:
    token = stack.begin()
    recorded = begin(functools.partial(hold_lease, stack))
    assert recorded.end() == 0
    doomed = begin(functools.partial(hold_lease, stack), kill_at=0)
    assert doomed.end() == -signal.SIGKILL
    stack.all_steps(token)
    assert stack.log_in() == "Success"


def hold_lease(stack: AwsStack, moment: Moment) -> None:
    with stack.session("rotator").lease("createSecret mqtt"):
        moment("held")


def test_a_first_rotation_killed_while_it_makes_the_user_goes_on_under_its_token(
    mosquitto: Mosquitto, moto_environment: Aws
) -> None:
    def fresh() -> tuple[AwsStack, str]:
        made = make_aws_stack(mosquitto.broker(), moto_environment)
        made.put("broker-admin", dict(mosquitto.admin))
        return made, made.begin()

    stack, token = fresh()
    recorded = invoke(stack, token)
    assert recorded.end() == 0
    moments = recorded.moments
    begun, ended = (moments.index(f"after {step}") for step in ("createSecret", "setSecret"))
    for kill_at in [at for at in range(begun, ended) if moments[at] == "after publish"]:
        stack, token = fresh()
        doomed = invoke(stack, token, kill_at=kill_at)
        assert doomed.end() == -signal.SIGKILL
        assert doomed.moments == moments[: kill_at + 1]
        over(stack, token)


def test_a_first_rotation_given_up_after_it_made_the_user_is_not_taken_over_unasked(stack: AwsStack) -> None:
    abandoned = stack.begin()
    stack.step("createSecret", abandoned)
    stack.step("setSecret", abandoned)
    token = stack.begin(cancelled=True)
    with pytest.raises(LambdaError, match="secretops rotate mqtt --now"):
        stack.all_steps(token)
    stack.rotate(cut_off=True)
    assert stack.log_in() == "Success"
    stack.all_steps(token)  # it was finished by that command
