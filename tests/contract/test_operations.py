"""put, rotate and tick over a real broker and the real store: what an operator may do in between, and what follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from secretops.engine.rotation import GraceError
from secretops.engine.state import Stage, Version
from secretops.errors import RefusedError, StoreError, UsageError
from secretops.operations.put import put
from secretops.operations.tick import exit_code
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.real.embedded import Embedded
from tests.real.stack import Stack, make_stack

pytestmark = pytest.mark.real

DAY = 86_400


@pytest.fixture
def stack(tmp_path: Path, embedded_broker: Embedded) -> Stack:
    stack = make_stack(tmp_path / "store", embedded_broker.broker())
    stack.put("broker-admin", dict(embedded_broker.admin))
    return stack


def admin_sets(stack: Stack, username: str, password: str | None = None) -> Value:
    """The operator gives a user a password behind secretops' back."""
    fields = Value({"username": username, "password": password or new_password()})
    secret = stack.manifest.secret("mqtt")
    open_target(stack.manifest.broker, secret.kind).apply(stack.session().admin(), fields)
    return fields


def current(stack: Stack, name: str = "mqtt") -> Version:
    version = stack.session().store.versions(name).current
    assert version
    return version


def errors(stack: Stack) -> dict[str, object]:
    return {one.secret: one.error for one in stack.tick() if one.error}


def test_the_first_tick_makes_the_user_proves_it_and_publishes_it(stack: Stack) -> None:
    outcomes = stack.tick()
    assert exit_code(outcomes) == 0
    assert stack.log_in() == "Success"
    assert current(stack).verified
    assert stack.tick()[1].done == (f"verified {current(stack).id}",)


def test_the_users_take_turns_and_the_replaced_one_is_refused_after_the_grace(stack: Stack) -> None:
    stack.rotate()
    first = stack.credential()
    stack.rotate()
    second = stack.credential()
    assert {first["username"], second["username"]} == set(stack.manifest.secret("mqtt").users)
    stack.tick()
    assert stack.log_in(first) == "Success"
    stack.skip_grace()
    assert errors(stack) == {}
    assert stack.log_in(first) != "Success"
    assert stack.log_in(second) == "Success"


def test_a_tick_rotates_what_is_due_and_nothing_else(stack: Stack) -> None:
    stack.rotate()
    before = current(stack).id
    stack.clock.skip(90 * DAY - 60)
    stack.tick()
    assert current(stack).id == before
    stack.clock.skip(61)
    assert errors(stack) == {}
    assert current(stack).id != before


def test_a_value_put_for_the_user_that_is_in_use_outlives_the_retirement_of_its_own_old_value(stack: Stack) -> None:
    stack.rotate()
    stack.put("mqtt", admin_sets(stack, stack.credential()["username"]))
    for _ in range(2):
        stack.skip_grace()
        assert errors(stack) == {}
        assert stack.log_in() == "Success"
    previous = stack.session().store.versions("mqtt").previous
    assert previous and previous.retired


def test_an_admins_own_new_password_can_be_put_and_ticks_go_on(stack: Stack) -> None:
    stack.rotate("broker-admin")
    stack.put("broker-admin", stack.credential("broker-admin"))
    stack.skip_grace()
    assert errors(stack) == {}
    assert stack.log_in(stack.credential("broker-admin")) == "Success"


def test_a_put_lets_no_replaced_user_live_on(stack: Stack) -> None:
    stack.rotate()
    first = stack.credential()
    stack.rotate()
    stack.skip_grace()
    stack.put("mqtt", admin_sets(stack, "operators-own-" + new_password()[:6]))
    assert stack.log_in() == "Success"
    assert stack.log_in(first) != "Success"


def test_a_put_within_the_grace_is_refused(stack: Stack) -> None:
    stack.rotate()
    stack.rotate()
    fields = admin_sets(stack, "operators-own-" + new_password()[:6])
    with pytest.raises(GraceError):
        stack.put("mqtt", fields)


def test_a_new_admin_can_be_put_when_the_old_one_is_refused_and_another_is_due_to_retire(
    stack: Stack, embedded_broker: Embedded
) -> None:
    stack.rotate("broker-admin")
    stack.skip_grace()
    stack.rotate("broker-admin")
    stack.skip_grace()
    secret = stack.manifest.secret("broker-admin")
    in_use = stack.credential("broker-admin")["username"]
    open_target(stack.manifest.broker, secret.kind).retire(embedded_broker.admin, in_use)
    assert "broker-admin" in errors(stack)
    stack.put("broker-admin", dict(embedded_broker.admin))
    assert errors(stack) == {}


def test_a_wrong_password_is_not_kept(stack: Stack) -> None:
    stack.rotate()
    before = stack.session().store.versions("mqtt"), stack.env.read_text()
    with pytest.raises(RefusedError):
        stack.put("mqtt", {"username": stack.credential()["username"], "password": new_password()})
    assert (stack.session().store.versions("mqtt"), stack.env.read_text()) == before


def test_a_put_of_a_supplied_value_that_was_killed_half_way_is_finished_by_the_next_tick(stack: Stack) -> None:
    session = stack.session()
    now = session.clock()
    session.store.add(
        "agent-key", Version(id="left", stage=Stage.PENDING, created=now), Value({"api-key": "key-of-agent"})
    )
    outcome = next(one for one in stack.tick() if one.secret == "agent-key")
    assert outcome.error is None
    assert current(stack, "agent-key").id == "left"
    assert "DO_AGENT_API_KEY=key-of-agent\n" in stack.env.read_text()


def test_a_password_changed_behind_our_back_is_found_by_the_next_tick_and_mended_by_rotate(stack: Stack) -> None:
    stack.rotate()
    admin_sets(stack, stack.credential()["username"])
    found = errors(stack)
    assert isinstance(found["mqtt"], RefusedError) and "secretops rotate mqtt" in found["mqtt"].remedy
    stack.rotate()
    assert errors(stack) == {}
    assert stack.log_in() == "Success"


def test_an_edited_env_stops_a_rotation_before_it_begins_and_a_put_adopts_it(stack: Stack) -> None:
    stack.rotate()
    fields = admin_sets(stack, stack.credential()["username"])
    stack.env.write_text(stack.env.read_text().replace(stack.credential()["password"], fields["password"]))
    text = stack.env.read_text()
    with pytest.raises(StoreError, match="secretops put mqtt"):
        stack.rotate()
    assert isinstance(errors(stack)["mqtt"], StoreError)
    assert stack.env.read_text() == text
    assert stack.session().store.versions("mqtt").pending is None
    stack.put("mqtt", fields)
    assert errors(stack) == {}
    assert stack.log_in() == "Success"


def test_one_secrets_failure_does_not_stop_the_others(stack: Stack) -> None:
    (stack.root / "versions" / "agent-key").mkdir()
    (stack.root / "versions" / "agent-key" / "state.json").write_text("garbage")
    assert list(errors(stack)) == ["agent-key"]
    assert stack.log_in() == "Success"


def test_a_waiting_rotation_waits_out_the_grace_and_a_longer_one_is_refused(stack: Stack) -> None:
    stack.rotate()
    first = current(stack)
    stack.rotate()
    stack.rotate()  # the stack's sleep moves its clock
    published = current(stack).published
    assert published and first.published
    assert (published - first.published).total_seconds() >= stack.manifest.grace_seconds
    stack.manifest = stack.manifest.model_copy(update={"grace_seconds": 3600})
    with pytest.raises(GraceError):
        stack.rotate()
    assert stack.session().store.versions("mqtt").pending is None
    stack.rotate(cut_off=True)
    assert stack.log_in() == "Success"


def test_fields_that_do_not_fit_are_refused_before_anything_is_asked_of_the_broker(stack: Stack) -> None:
    with pytest.raises(UsageError):
        put(stack.session(), "mqtt", Value({"username": "x"}))
    assert stack.session().store.versions("mqtt").all == ()
