"""Behavior of the AWS store alone. moto replaces AWS, with a strict client for AWS' rules that moto lacks."""

import contextlib
import functools
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from secretops.engine.journal import Entry
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage
from secretops.errors import NotFoundError, StoreError
from secretops.platforms.aws.api import SecretsManagerApi
from secretops.platforms.aws.labels import NO_VALUE, NO_VALUE_LABEL, last_label
from secretops.platforms.aws.store import SecretsManagerVersionStore
from secretops.stores.lease import LeaseRecord, Timing
from tests.contract.places import Account
from tests.contract.versions import FIELDS, NOW, make, publish, publish_with, version
from tests.real.moto import REGION
from tests.real.strict_secrets_manager import MOST_LABELS, StrictSecretsManager

pytestmark = pytest.mark.real

CURRENT, PENDING, PREVIOUS = "AWSCURRENT", "AWSPENDING", "AWSPREVIOUS"
DEADLINE = 600.0


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    return Account(Account.fresh(request, tmp_path))


@pytest.fixture
def meddle() -> Iterator[Callable[..., None]]:
    """Yield a function that runs a deed once, before the next write request, or `later` hook calls after that."""

    def once(deed: Callable[[], object], later: int = 0) -> None:
        left = later

        def act() -> None:
            nonlocal left
            if left == 0:
                StrictSecretsManager.around_write.remove(act)
                deed()
            left -= 1

        StrictSecretsManager.around_write.append(act)

    yield once
    StrictSecretsManager.around_write.clear()


@functools.cache
def token(number: int) -> str:
    return new_token(NOW + timedelta(hours=number))


def roll_back(place: Account, away: str, to: str) -> None:
    """Return to the previous version by hand, as AWS documents it."""
    place.client.update_secret_version_stage(
        SecretId=place.name, VersionStage=CURRENT, RemoveFromVersionId=away, MoveToVersionId=to
    )


def labeled(place: Account, label: str) -> str | None:
    return next((name for name, labels in place.labels().items() if label in labels), None)


def aws_labels(place: Account) -> dict[str, set[str]]:
    """Return AWS' own labels, by version."""
    return {
        name: found for name, labels in place.labels().items() if (found := {one for one in labels if one[:3] == "AWS"})
    }


def test_readers_find_one_json_object_under_awscurrent_once_it_is_published(place: Account) -> None:
    value, store = make(), place.open()
    store.add("it", version(token(1)), value)
    assert aws_labels(place) == {NO_VALUE: {CURRENT}, token(1): {PENDING}}
    assert place.delivered() == dict.fromkeys(FIELDS)
    store.publish("it", token(1), NOW)
    found = place.client.get_secret_value(SecretId=place.name, VersionStage=CURRENT)
    assert json.loads(found["SecretString"]) == dict(value)
    assert aws_labels(place)[token(1)] == {CURRENT}


@pytest.mark.parametrize(("drops", "first"), [(True, True), (False, False)])
def test_empty_version_of_rotate_secret_is_filled_under_its_token(place: Account, drops: bool, first: bool) -> None:
    aws = StrictSecretsManager(place.client._moto, current_drops_pending=drops)
    store = SecretsManagerVersionStore(place.location, SecretsManagerApi(REGION, lambda _region: cast(Any, aws)))
    old = None if first else publish(place, token(1))
    made = aws.rotate_secret(SecretId=place.name)["VersionId"]
    assert store.versions("it").pending is None, "a label without a value is no version of ours"
    with pytest.raises(NotFoundError):
        store.read("it", made, purpose="test")
    value = make()
    store.add("it", version(made), value)
    assert store.versions("it").pending == version(made)
    assert place.delivered() == (dict(old) if old else dict.fromkeys(FIELDS))
    store.publish("it", made, NOW)
    assert place.delivered() == dict(value)
    assert PENDING not in aws_labels(place)[made]
    assert aws.rotate_secret(SecretId=place.name), "nothing is left that blocks the next rotation"


def test_label_moved_meanwhile_is_seen_and_not_overwritten(place: Account, meddle: Callable[..., None]) -> None:
    publish(place, token(1))
    place.open().add("it", version(token(2)), make())
    theirs = json.dumps({"username": "typed-by-a-person"})
    meddle(lambda: place.client.put_secret_value(SecretId=place.name, SecretString=theirs))
    with pytest.raises(StoreError, match=r"\[value-edited\]"):
        place.open().publish("it", token(2), NOW)
    assert place.delivered()["username"] == "typed-by-a-person"
    assert [one.stage for one in place.open().versions("it").all] == [Stage.CURRENT, Stage.PENDING]


def test_rollback_by_hand_to_a_retired_version_is_reported(place: Account) -> None:
    for number in (1, 2):
        publish(place, token(number))
    place.open().mark("it", token(1), retired=NOW)
    roll_back(place, token(2), token(1))
    versions = place.open().versions("it")
    assert versions.current and versions.current.id == token(2)
    assert "changed by hand" in (place.open().delivery_drift("it") or "")
    with pytest.raises(StoreError, match=r"\[value-edited\][\s\S]*--move-to-version-id " + token(2)):
        place.open().recover("it", NOW)
    roll_back(place, token(1), token(2))
    place.open().recover("it", NOW)
    assert place.open().versions("it") == versions


def test_a_retired_version_has_no_label_left_so_that_aws_deletes_it(place: Account) -> None:
    for number in (1, 2):
        publish(place, token(number))
    place.open().mark("it", token(1), verified=NOW)
    place.open().mark("it", token(1), retired=NOW)
    assert token(1) not in place.labels()
    previous = place.open().versions("it").previous
    assert previous == version(token(1)).at(stage=Stage.PREVIOUS, published=NOW, verified=NOW, retired=NOW)


@pytest.mark.slow
def test_rotations_need_no_more_labels_the_longer_they_go_on(place: Account) -> None:
    store, most = place.open(), []

    def rotate(number: int) -> None:
        now, name, abandoned = NOW + timedelta(days=number), token(24 * number), token(24 * number - 1)
        store.add("it", version(abandoned), make())
        store.add("it", version(name), make())
        store.mark("it", name, verified=now)
        store.publish("it", name, now)
        store.journal.write(Entry(time=now, secret="it", version=name, step="publish", outcome="done" + 200 * "!"))
        if previous := store.versions("it").previous:
            store.mark("it", previous.id, retired=now)
        most.append(sum(map(len, place.labels().values())))

    for number in range(1, 6):
        rotate(number)
    assert max(most) == max(most[:3]) <= MOST_LABELS / 2, "there is room for those of others"
    assert set(place.labels()) == {token(24 * 5), NO_VALUE}


def test_forget_leaves_the_declared_secret_and_its_configuration(place: Account) -> None:
    publish(place, token(1))
    store = place.open()
    store.journal.write(Entry(time=NOW, secret="it", version=token(1), step="publish", outcome="failed"))
    assert store.secret_names() == ("it",)
    store.forget("it")
    assert store.secret_names() == ()
    assert not place.client.describe_secret(SecretId=place.name).get("DeletedDate")
    assert place.labels() == {NO_VALUE: place.labels()[NO_VALUE]}, "of no value is anything kept by a label"
    assert store.journal.last("it") is None


# Before the mark is on the empty version, after it is, and while labels are removed.
@pytest.mark.parametrize(("then", "moment", "begun"), [("recover", 1, False), ("recover", 4, True), ("add", 8, True)])
def test_a_killed_purge_is_never_undone(place: Account, then: str, moment: int, begun: bool) -> None:
    """The next tick, or an operator's new value, completes the purge, unless it had not begun."""
    store = place.open()
    values = [publish_with(store, token(number)) for number in (1, 2)]
    store.add("it", version(token(3)), make())
    assert place.killed_at(lambda: place.open().forget("it"), moment)
    assert (store.versions("it").current is None) is begun
    if then == "recover":
        store.recover("it", NOW)
    else:
        store.add("it", version(token(4)), make())
        store.discard("it", token(4))
    if begun:
        assert {name: {*has} for name, has in place.labels().items()} == {NO_VALUE: {CURRENT, NO_VALUE_LABEL}}
        assert store.secret_names() == ()
    else:
        assert place.delivered() == dict(values[1])
        assert store.secret_names() == ("it",)


def test_the_last_step_is_found_again_and_does_not_lengthen_with_its_text(place: Account) -> None:
    store = place.open()
    publish(place, token(1))
    for outcome in ("no answer", "the broker\nsaid: 'ü' " + "x" * 500):
        entry = Entry(time=NOW, secret="it", version=token(1), step="apply", outcome=outcome)
        store.journal.write(entry)
        last = store.journal.last("it")
        assert last and last.outcome and outcome.startswith(last.outcome)
        assert (last.secret, last.version, last.step) == ("it", token(1), "apply")
        assert len(last_label(entry)) <= 256
    assert len([text for labels in place.labels().values() for text in labels if ".last." in text]) == 1
    assert place.open().journal.last("other") is None


@pytest.mark.parametrize("times", [1, 3])
def test_label_is_moved_after_a_brief_conflict_and_a_lasting_one_reported(place: Account, times: int) -> None:
    publish(place, token(1))

    conflicts = iter(range(times))

    def away(**requested: Any) -> Any:
        if next(conflicts, None) is not None:
            raise ClientError({"Error": {"Code": "InvalidParameterException"}}, "UpdateSecretVersionStage")
        return place.client.update_secret_version_stage(**requested)

    client = SimpleNamespace(update_secret_version_stage=away, describe_secret=place.client.describe_secret)
    requested = SecretsManagerApi(REGION, lambda _region: cast(Any, client))
    refused = pytest.raises(StoreError, match=r"UpdateSecretVersionStage.*\[aws-request-failed\]")
    with refused if times == 3 else contextlib.nullcontext():
        assert requested.move(place.name, "MINE", None, token(1))
    assert (labeled(place, "MINE") == token(1)) is (times == 1)


def test_label_move_whose_answer_was_lost_is_done(place: Account) -> None:
    publish(place, token(1))

    def twice(**requested: Any) -> Any:
        place.client.update_secret_version_stage(**requested)
        return place.client.update_secret_version_stage(**requested)

    client = SimpleNamespace(update_secret_version_stage=twice, describe_secret=place.client.describe_secret)
    requested = SecretsManagerApi(REGION, lambda _region: cast(Any, client))
    for source, target in ((None, NO_VALUE), (NO_VALUE, token(1)), (token(1), None)):
        assert requested.move(place.name, "MINE", source, target)
        assert labeled(place, "MINE") == target


@pytest.mark.parametrize("is_outdated", [True, False])
def test_previous_version_is_confirmed_unless_its_labels_are_outdated(place: Account, is_outdated: bool) -> None:
    publish(place, token(1))
    publish(place, token(2))
    before, labels = place.client.describe_secret(SecretId=place.name), place.labels()
    if is_outdated:
        publish(place, token(3))
    client = SimpleNamespace(
        describe_secret=lambda **_: before, update_secret_version_stage=place.client.update_secret_version_stage
    )
    api = SecretsManagerApi(REGION, lambda _region: cast(Any, client))
    store = SecretsManagerVersionStore(place.location, api, table=place.table())
    if is_outdated:
        with store.lease("a tick"), pytest.raises(StoreError, match=r"\[(aws-request-failed|write-conflict)\]"):
            store.confirm("it", token(1))
        return
    for gone in (False, True):  # AWS may delete a version without labels
        if gone:
            place.client.update_secret_version_stage(
                SecretId=place.name, VersionStage=PREVIOUS, RemoveFromVersionId=token(1)
            )
        place.open().confirm("it", token(1))
        place.open().recover("it", NOW)
        assert [one.id for one in place.open().versions("it").all] == [token(1), token(2)]
        assert gone or sorted(place.labels()[token(1)]) == sorted(labels[token(1)])
    assert token(1) not in place.labels()


def test_value_that_was_just_added_is_not_requested_again(place: Account) -> None:
    client = SimpleNamespace(
        **{
            name: getattr(place.client, name)
            for name in ("describe_secret", "put_secret_value", "update_secret_version_stage")
        }
    )
    api = SecretsManagerApi(REGION, lambda _region: cast(Any, client))
    store, value = SecretsManagerVersionStore(place.location, api, table=place.table()), make()
    with store.lease("a rotation"):
        store.add("it", version(token(1)), value)
        assert store.read("it", token(1), purpose="test") == value


def test_who_was_followed_writes_no_more(place: Account, caplog: pytest.LogCaptureFixture) -> None:
    held_up = Timing(duration=1, renew=3600, poll=0.1)
    publish(place, token(1))
    first = place.open(timing=held_up)
    with first.lease("who was held up"), place.open(timing=held_up).lease("who followed"):
        before = place.labels()
        end = time.monotonic() + DEADLINE
        with pytest.raises(StoreError):
            while time.monotonic() < end:
                first.mark("it", token(1), verified=datetime.now(UTC))
                before = place.labels()
        assert place.labels() == before
    assert place.table().read().record is None


def test_read_that_outlives_its_lease_returns_no_value(place: Account) -> None:
    """The answer with the value is slow, because the SDK repeats the request for minutes."""
    publish(place, token(1))
    timing, table, stalls = Timing(duration=0.6, renew=3600, poll=0.1), place.table(), []

    def stalled(**requested: Any) -> Any:
        # Takes the lease over at once: a renewing holder would keep a real successor out.
        follower = LeaseRecord(holder="the follower", token="0" * 16, since=NOW)  # nosec B106
        assert table.write(follower, table.read()).record == follower
        stalls.append(threading.Event().wait(timing.trusted + 0.1))
        return place.client.get_secret_value(**requested)

    client = SimpleNamespace(get_secret_value=stalled, describe_secret=place.client.describe_secret)
    api = SecretsManagerApi(REGION, lambda _region: cast(Any, client))
    store = SecretsManagerVersionStore(place.location, api, table=place.table(), timing=timing)
    with store.lease("who was held up"):
        with pytest.raises(StoreError):
            store.read("it", token(1), purpose="test")
        assert len(stalls) == 1


def test_secret_scheduled_for_deletion_is_reported_with_a_remedy(place: Account) -> None:
    publish(place, token(1))
    place.client.delete_secret(SecretId=place.name)
    store = place.open()
    for act in (
        lambda: store.read("it", token(1), purpose="test"),
        lambda: store.add("it", version(token(2)), make()),
        lambda: store.mark("it", token(1), verified=NOW),
        lambda: store.forget("it"),
    ):
        with pytest.raises(StoreError, match=r"scheduled for deletion[\s\S]*restore-secret"):
            act()
