"""The AWS store's lease. moto stands in for AWS, and a strict client for those of its rules that moto lacks."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from secretops.errors import LeaseHeldError, StoreError, UnreachableError
from secretops.stores.leases import Timing
from secretops.stores.secrets_manager import SecretsManagerVersionStore
from secretops.stores.secrets_manager.api import Api
from tests.contract.places import Account
from tests.real.moto import REGION, Aws
from tests.real.strict_secrets_manager import strict

pytestmark = pytest.mark.real

DEADLINE = 60.0
LONG = Timing(duration=10 * DEADLINE, renew=3600, look=0.05)  # Nobody is followed, and nothing renews by itself.


@dataclass(frozen=True)
class Hasty(Timing):
    """Follows soon who does not renew, and rests on its own renewals however slow this machine is."""

    @property
    def trusted(self) -> float:
        return 5.0


SHORT = Hasty(duration=0.3, renew=3600, look=0.05)  # Whoever holds it is followed soon, unless a test renews it.
MOST_REQUESTS = 40  # That write, in one taking and what goes with it: a loop over them that gets so far does not end.


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    return Account(Account.fresh(request, tmp_path))


class Wrapped:
    """The client, and what a test does before each request that reads labels, or that writes."""

    def __init__(
        self,
        place: Account,
        *,
        look: Callable[[], object] = lambda: None,
        write: Callable[[int], object] = lambda _number: None,
    ) -> None:
        self._client, self._look, self._write, self._writes = place.client, look, write, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_secret(self, **asked: Any) -> Any:
        self._look()
        return self._client.describe_secret(**asked)

    def put_secret_value(self, **asked: Any) -> Any:
        return self._do(self._client.put_secret_value, asked)

    def update_secret_version_stage(self, **asked: Any) -> Any:
        return self._do(self._client.update_secret_version_stage, asked)

    def _do(self, request: Callable[..., Any], asked: dict[str, Any]) -> Any:
        number, self._writes = self._writes, self._writes + 1
        self._write(number)
        return request(**asked)


def opened(place: Account, client: object, timing: Timing) -> SecretsManagerVersionStore:
    return SecretsManagerVersionStore(place.location, Api(REGION, lambda _region: cast(Any, client)), timing=timing)


def labels(place: Account) -> dict[str, list[str]]:
    found: dict[str, list[str]] = place.client.describe_secret(SecretId=place.location.lease)["VersionIdsToStages"]
    return found


def left(place: Account) -> list[str]:
    marks = ("secretops.held", "secretops.renewed")
    return [one for has in labels(place).values() for one in has if one.startswith(marks)]


def used(place: Account) -> None:
    with place.open(timing=LONG).lease("the first"):
        pass


def not_waiting(place: Account) -> SecretsManagerVersionStore:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        assert looks < 15, "it waits for somebody"

    return opened(place, Wrapped(place, look=look), LONG)


def dead(place: Account, name: str) -> None:
    place.open(timing=SHORT).lease(name).__enter__()


# Who gets it


@pytest.mark.slow
def test_of_many_that_want_the_lease_at_once_one_gets_it(moto: Aws, place: Account) -> None:
    together, over = threading.Barrier(6), threading.Event()
    got: list[str] = []
    timing = Timing(duration=10 * DEADLINE, renew=0.2, look=0.05)
    with strict(moto) as aws:

        def want(name: str) -> None:
            together.wait(DEADLINE)
            with contextlib.suppress(LeaseHeldError), opened(place, aws.secrets_manager, timing).lease(name):
                got.append(name)
                over.wait(DEADLINE)

        threads = [threading.Thread(target=want, args=(f"taker {number}",)) for number in range(6)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + DEADLINE
        while sum(thread.is_alive() for thread in threads) > 1:
            assert time.monotonic() < end
            time.sleep(0.05)
        over.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert len(got) == 1
    assert left(place) == [], "nobody's label is left"


def test_a_holder_that_renews_at_any_moment_of_a_takeover_keeps_the_lease_or_has_lost_it(place: Account) -> None:
    """Never both: at each request of the follower that writes, the holder comes back."""
    kept = lost = 0
    for moment in range(MOST_REQUESTS):
        holder = place.open(timing=SHORT)
        came, held = come_back_at(moment, holder)
        follower = opened(place, Wrapped(place, write=came), SHORT)
        with holder.lease("the holder"):
            try:
                with follower.lease("the follower"):
                    follower.confirm()
            except LeaseHeldError:
                assert held == [True]
                holder.confirm()
                kept += 1
            else:
                assert True not in held, "both had it"
                with pytest.raises(StoreError):
                    holder.confirm()
                lost += len(held)
        assert left(place) == []
        if not held:
            break
    assert not held, "every moment had its turn"
    assert kept, "some are before the holder is robbed"
    assert lost, "and some are after"


def come_back_at(moment: int, holder: SecretsManagerVersionStore) -> tuple[Callable[[int], None], list[bool]]:
    """What lets the holder come back before request `moment`, and whether it then still had the lease."""
    held: list[bool] = []

    def come_back(number: int) -> None:
        if number == moment:
            try:
                holder.confirm()
            except StoreError:
                held.append(False)
            else:
                held.append(True)

    return come_back, held


def test_who_gives_back_late_does_not_give_back_the_followers_lease(place: Account) -> None:
    second = place.open(timing=SHORT)
    with contextlib.ExitStack() as late:
        late.enter_context(place.open(timing=SHORT).lease("who was held up"))
        with second.lease("who followed"):
            late.close()
            second.confirm()


def test_awscurrent_that_was_moved_by_hand_is_waited_for(place: Account) -> None:
    used(place)
    place.client.put_secret_value(SecretId=place.location.lease, SecretString='{"by": "hand"}')
    timing = Timing(duration=0.4, renew=3600, look=0.05)
    began = time.monotonic()
    with place.open(timing=timing).lease("one"):
        assert time.monotonic() - began >= timing.duration + timing.trusted
    with not_waiting(place).lease("two"):
        pass


# Before the first write, between the two labels of the new version and AWSCURRENT, after AWSCURRENT moved.
MOMENTS = (0, pytest.param(3, marks=pytest.mark.slow), pytest.param(7, marks=pytest.mark.slow))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_follower_keeps_nobody_out_and_the_first_holder_stays_followed(place: Account, moment: int) -> None:
    used(place)
    holder = place.open(timing=SHORT)
    with holder.lease("the holder"):
        assert place.killed_at(lambda: place.open(timing=SHORT).lease("killed").__enter__(), moment)
        with place.open(timing=SHORT).lease("next"), pytest.raises(StoreError):
            holder.confirm()


def test_an_error_at_any_request_of_a_taking_leaves_no_label_and_the_lease_to_the_next(place: Account) -> None:
    used(place)
    for moment in range(MOST_REQUESTS):

        def fail(number: int, moment: int = moment) -> None:
            if number == moment:
                raise ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateSecretVersionStage")

        before = set(left(place))
        try:
            opened(place, Wrapped(place, write=fail), SHORT).lease("one").__enter__()
        except UnreachableError:
            assert set(left(place)) <= before
        else:
            break
        with not_waiting(place).lease("next"):
            pass
        assert left(place) == []
    assert moment > 2, "some requests are missed"


class AnswersLost:
    """A client whose answer to each write is lost, so that the SDK sends it again, and is refused."""

    def __init__(self, place: Account) -> None:
        self._client = place.client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_secret_value(self, **asked: Any) -> Any:
        self._client.put_secret_value(**asked)
        return self._client.put_secret_value(**asked)

    def update_secret_version_stage(self, **asked: Any) -> Any:
        self._client.update_secret_version_stage(**asked)
        raise ClientError({"Error": {"Code": "InvalidParameterException"}}, "UpdateSecretVersionStage")


@pytest.mark.parametrize("first", ["free", "held by a dead one"])
def test_who_is_given_no_answer_takes_the_lease_renews_it_and_gives_it_back(place: Account, first: str) -> None:
    used(place)
    if first != "free":
        dead(place, "dead")
    store = opened(place, AnswersLost(place), SHORT)
    with store.lease("one"):
        for _ in range(3):
            store.confirm()
    assert left(place) == []
    with not_waiting(place).lease("next"):
        pass


# What AWS allows


def test_labels_of_the_killed_that_leave_no_room_are_taken_away(place: Account) -> None:
    used(place)
    since = datetime.now(UTC) - timedelta(minutes=2)
    with contextlib.suppress(ClientError):
        for number in range(10):
            token = f"{number:016x}"
            held = f"secretops.held.{since:%Y%m%dT%H%M%SZ}.{token}.killed"
            place.client.put_secret_value(
                SecretId=place.location.lease,
                ClientRequestToken=f"secretops-lease-{token}",
                SecretString="{}",
                VersionStages=[held, f"secretops.renewed.{token}.0"],
            )
    assert len(left(place)) > 10
    with not_waiting(place).lease("one"):
        pass
    assert left(place) == []
