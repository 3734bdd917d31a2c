"""The AWS store's lease, in moto's DynamoDB."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import LeaseHeldError, StoreError
from secretops.platforms.aws.lease import ITEM
from secretops.stores.lease import HeldLease, Timing, acquire
from tests.contract.places import Account
from tests.real.accidents import killed_around

pytestmark = pytest.mark.real

DEADLINE = 600.0
LONG = Timing(duration=10 * DEADLINE, renew=3600, poll=0.05)  # Nobody takes over, and nothing renews by itself.


@dataclass(frozen=True)
class Hasty(Timing):
    """Short times, so that a process soon takes over from a holder that does not renew. Own renewals may be slow."""

    @property
    def trusted(self) -> float:
        return 5.0


SHORT = Hasty(duration=0.3, renew=3600, poll=0.05)  # Expires soon unless a test renews it.
MOST_REQUESTS = 20  # The maximum of one acquisition and its follow-ups: an endless loop exceeds it.


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Account:
    return Account(Account.fresh(request, tmp_path))


class Wrapped:
    """The client, with a test's hooks before and after each write request."""

    def __init__(
        self,
        place: Account,
        before: Callable[[int], object] = lambda _number: None,
        after: Callable[[], object] = lambda: None,
    ) -> None:
        self._client, self._before, self._after, self._writes = place.aws.dynamodb(), before, after, 0

    def get_item(self, **request: Any) -> Any:
        return self._client.get_item(**request)

    def update_item(self, **request: Any) -> Any:
        number, self._writes = self._writes, self._writes + 1
        self._before(number)
        answer = self._client.update_item(**request)
        self._after()
        return answer

    def update_item_twice(self, **request: Any) -> Any:
        """Send the request twice, as the SDK does when the first answer is lost."""
        self._client.update_item(**request)
        return self._client.update_item(**request)


def taken(place: Account, name: str, timing: Timing = SHORT, client: object = None) -> HeldLease:
    return acquire(place.table(client), name, timing)


def free(place: Account) -> bool:
    return place.table().read().record is None


def test_holder_that_renews_during_a_takeover_keeps_the_lease_or_has_lost_it(place: Account) -> None:
    """Never both: at each write request of the successor, the holder renews again."""
    kept = lost = 0
    for moment in range(MOST_REQUESTS):
        holder, held = taken(place, "the holder"), list[bool]()

        def come_back(number: int, moment: int = moment, holder: HeldLease = holder, held: list[bool] = held) -> None:
            if number == moment:
                with contextlib.suppress(StoreError):
                    holder.confirm(fresh=True)
                    held.append(True)
                    return
                held.append(False)

        try:
            follower = taken(place, "the follower", client=Wrapped(place, come_back))
            follower.confirm(fresh=True)
        except LeaseHeldError:
            assert held == [True]
            holder.confirm(fresh=True)
            holder.release()
            kept += 1
        else:
            assert held != [True] or moment == 0, "both had it"
            with pytest.raises(StoreError, match=r"the follower .*\[lease-lost\]"):
                holder.confirm(fresh=True)
            lost += len(held)
            follower.release()
        assert free(place)
        if not held:
            break
    assert not held, "every moment had its turn"
    assert kept, "some are before the holder is robbed"
    assert lost, "and some are after"


def test_late_release_does_not_free_the_followers_lease(place: Account) -> None:
    first, second = taken(place, "who was held up"), taken(place, "who followed")
    first.release()
    second.confirm(fresh=True)


# Before the refused request, before the takeover, and after that. A refused one has no moment after it.
@pytest.mark.parametrize("moment", [0, 1, 2])
def test_killed_follower_keeps_nobody_out(place: Account, moment: int) -> None:
    holder = taken(place, "the holder")

    watch: list[Callable[[], None]] = []

    def follow_and_die() -> None:
        (around,) = watch
        taken(place, "killed", client=Wrapped(place, lambda _number: around(), around))

    assert killed_around(follow_and_die, moment, watch.append)
    with place.open(timing=SHORT).lease("next"), pytest.raises(StoreError):
        holder.confirm(fresh=True)


@pytest.mark.parametrize("first", ["free", "held by a dead one"])
def test_lost_answers_neither_lose_the_lease_nor_leave_it(place: Account, first: str) -> None:
    if first != "free":
        taken(place, "dead")
    client = Wrapped(place)
    client.update_item = client.update_item_twice  # type: ignore[method-assign]
    held = taken(place, "one", client=client)
    for _ in range(3):
        held.confirm(fresh=True)
    with contextlib.suppress(StoreError):
        held.release()
    assert free(place)
    taken(place, "next", LONG).confirm(fresh=True)


def test_item_deleted_by_hand_frees_the_lease_and_its_holder_writes_no_more(place: Account) -> None:
    held = taken(place, "one", LONG)
    place.aws.dynamodb().delete_item(TableName=place.location.lease, Key=ITEM)
    with pytest.raises(StoreError, match=r"nobody .*\[lease-lost\]"):
        held.confirm(fresh=True)
    taken(place, "next", LONG).confirm(fresh=True)


def test_item_written_by_hand_is_reported_with_the_way_to_free_it(place: Account) -> None:
    place.aws.dynamodb().put_item(TableName=place.location.lease, Item={**ITEM, "token": {"S": "by hand"}})
    with pytest.raises(StoreError, match="aws dynamodb delete-item") as reported:
        taken(place, "one")
    assert json.dumps(ITEM) in reported.value.remedy
