"""When the end of a certificate that others renew is told: late enough that who renews by itself has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from secretops.engine.decisions import Reason
from secretops.operations import watched
from secretops.operations.watched import Watched
from tests.unit.test_certificates import ODD, with_extension

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def certificate(days: float) -> Watched:
    return Watched(name="it", source="here", begins=NOW, ends=NOW + timedelta(days=days), remedy="renew it")


@pytest.mark.parametrize(
    ("days", "left"),
    [
        pytest.param(3650, 30, id="a CA of ten years, in its last month"),
        pytest.param(398, 30, id="a server's of a year, in its last month"),
        pytest.param(90, 15, id="an ACME client's, which renews when thirty days are left"),
        pytest.param(30, 5, id="cert-manager's, which renews when ten are left"),
        pytest.param(1, 1 / 6, id="a day's, which a small CA renews when eight hours are left"),
    ],
)
def test_a_certificate_is_told_in_the_last_sixth_of_its_life_and_in_its_last_month_at_most(
    days: float, left: float
) -> None:
    one, at = certificate(days), NOW + timedelta(days=days - left)
    assert one.finding(at - SECOND) is None
    found = one.finding(at + SECOND)
    assert found and found.reason is Reason.NEAR_EXPIRY and found.needs_a_person


def test_it_is_told_apart_whether_it_ends_or_has_ended_or_has_not_begun() -> None:
    one = certificate(30)
    said = {at: one.finding(at) for at in (one.ends - SECOND, one.ends, one.begins - SECOND)}
    assert [found.reason for found in said.values() if found] == [
        Reason.NEAR_EXPIRY,
        Reason.EXPIRED,
        Reason.DISTRUSTED,
    ]
    assert [found.message.partition(" 2026")[0] for found in said.values() if found] == [
        "here: it expires",
        "here: it expired",
        "here: it is good from",
    ]


@pytest.mark.parametrize("odd", range(len(ODD)))
def test_one_whose_content_cannot_be_read_is_told_and_ends_nothing(odd: int) -> None:
    seen = watched._watched(with_extension(ODD[odd]).certificate, "here", "renew it")
    found = seen.finding(seen.begins)
    assert found and found.reason is Reason.DISTRUSTED
    assert found.message == "here: without a name is not trusted: its names or extensions can't be read: renew it"
