"""The decisions of a tick, as a table with a sentence for each case. The clock is an argument."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from secretops.engine.decisions import (
    RENEW_AT,
    SPREAD,
    Action,
    Facts,
    Reason,
    due_at,
    findings,
    first_action,
    is_operator_supplied,
    issued_id,
    issuer_changed,
    renewal_at,
)
from secretops.engine.state import Replica, Stage, Version, Versions
from secretops.manifest import Issuer, Reader, Secret, SecretKind
from secretops.platforms.aws.location import AwsPrivateCaIssuer
from secretops.platforms.vault.location import VaultIssuer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
CADENCE, GRACE = 90 * DAY, HOUR


def version(stage: Stage, user: str | None = "a", *, ago: timedelta = HOUR, **times: datetime | None) -> Version:
    """Return a version, published by default, `ago` before NOW."""
    made = NOW - ago
    published = times.pop("published", None if stage is Stage.PENDING else made)
    return Version(id=f"{stage}-{user}", stage=stage, created=made, user=user, published=published, **times)


def pending(user: str = "b") -> Version:
    return version(Stage.PENDING, user)


def current(ago: timedelta = 10 * DAY, **times: datetime | None) -> Version:
    return version(Stage.CURRENT, "a", ago=ago, **times)


def previous(**times: datetime | None) -> Version:
    return version(Stage.PREVIOUS, "b", ago=50 * DAY, **times)


UNDELIVERED = version(Stage.CURRENT, "a", ago=50 * DAY, published=None)


@dataclass
class Case:
    sentence: str
    versions: tuple[Version, ...]
    action: Action | None
    reasons: list[Reason]
    kind: SecretKind = SecretKind.MQTT_USER
    messages: list[str] = field(default_factory=list)  # Parts of the notification.
    replicas: tuple[Replica, ...] = ()
    expected: int | None = 1
    guarded: bool = True
    issued: bool = False  # True if a signer is configured.
    safe_to_retire: bool = False  # True if no live certificate is signed by the previous CA.


def server(version: Version, *, reports: str | None = None) -> Replica:
    """Return a server that is logged in with `version`. It reports that version, or `reports` if set."""
    return Replica(
        id=f"mcp-{version.user}", user=version.user or "", secret="it", version=reports or version.id, since=NOW
    )


def certificate(ago: timedelta, ends_in: timedelta, *, id: str = "current-None") -> Version:
    return replace(version(Stage.CURRENT, None, ago=ago, expires=NOW + ends_in), id=id)


ISSUER = VaultIssuer(mount="pki", role="client", common_name="it", seconds=1)
OTHERS: dict[str, Issuer] = {
    "issuer": AwsPrivateCaIssuer(arn=f"arn:aws:acm-pca:eu-central-1:{1:012}:certificate-authority/{UUID(int=1)}",
                                 common_name="it", seconds=1),
    "name": ISSUER.model_copy(update={"common_name": "another"}),
    "life": ISSUER.model_copy(update={"seconds": 2}),
}  # fmt: skip
ID = "20260228T120000Z-0123456789abcdef"
X509, CA, ADMIN, SUPPLIED = SecretKind.X509, SecretKind.CA, SecretKind.BROKER_ADMIN, SecretKind.SUPPLIED
TABLE = [
    Case("a secret that was never rotated is rotated", (), Action.ROTATE, [Reason.NEVER_ROTATED]),
    Case("a fresh one is left alone", (current(),), None, []),
    Case("it is due on its day", (current(CADENCE),), Action.ROTATE, [Reason.DUE], messages=["due since 2026-03-01"]),
    Case(
        "due is counted from the delivery, not from when the value was made",
        (version(Stage.CURRENT, ago=CADENCE + DAY, published=NOW - DAY),),
        None,
        [],
    ),
    Case(
        "one day late it is rotated, with a warning that the schedule may be off",
        (current(CADENCE + DAY),),
        Action.ROTATE,
        [Reason.DUE, Reason.OVERDUE],
        messages=["overdue since"],
    ),
    Case("the first rotation, left half-done, is finished", (pending("a"),), Action.RESUME, [
        Reason.PENDING_LEFT_BEHIND, Reason.NEVER_ROTATED]),
    Case(
        "a pending one is finished before the previous is retired and before a new one is begun",
        (previous(), current(CADENCE + 2 * DAY), pending("b")),
        Action.RESUME,
        [Reason.PENDING_LEFT_BEHIND, Reason.RETIRE_DUE, Reason.DUE, Reason.OVERDUE],
    ),
    Case(
        "the previous one is retired before a new one is begun",
        (previous(), current(CADENCE)),
        Action.RETIRE,
        [Reason.RETIRE_DUE, Reason.DUE],
    ),
    Case("the previous one is kept for the last second of grace", (previous(), current(GRACE - SECOND)), None, []),
    Case("the previous one is retired when the grace ends", (previous(), current(GRACE)), Action.RETIRE, [
        Reason.RETIRE_DUE]),
    Case(
        "the grace counts from the delivery of the successor, however old the value is",
        (previous(), version(Stage.CURRENT, "a", ago=50 * DAY, published=NOW - GRACE + SECOND)),
        None,
        [],
    ),
    Case("nothing is retired while the successor is undelivered", (previous(), UNDELIVERED), None, []),
    Case("nothing is retired twice", (previous(retired=NOW - DAY), current()), None, []),
    Case("the previous one is retired before the grace ends when every server reports the current one",
         (previous(), current(SECOND)), Action.RETIRE, [Reason.RETIRE_DUE],
         replicas=(server(current()), server(current())), expected=2),
    Case("reports that others may write retire nothing", (previous(), current(SECOND)), None, [],
         replicas=(server(current()),), guarded=False),
    Case("one report too many retires nothing", (previous(), current(SECOND)), None, [],
         replicas=(server(current()), server(current()))),
    Case("reports retire nothing where nobody knows how many servers run", (previous(), current(SECOND)), None, [],
         replicas=(server(current()),), expected=None),
    Case("a report of the current version by the previous user retires nothing", (previous(), current(SECOND)),
         None, [], replicas=(server(previous(), reports=current().id),)),
    Case("a replica that says nothing keeps it until the grace ends", (previous(), current(GRACE - SECOND)),
         None, [], replicas=(server(current()),), expected=2),
    Case("one server on the previous version keeps it until the grace ends", (previous(), current(GRACE - SECOND)),
         None, [], replicas=(server(current()), server(previous())), expected=2),
    Case("a server that can't say its version counts by the user it is logged in as", (previous(), current(SECOND)),
         Action.RETIRE, [Reason.RETIRE_DUE], replicas=(server(current(), reports="unknown"),)),
    Case("the grace ends, it is retired although a server is behind, which is named",
         (previous(), current(GRACE)), Action.RETIRE, [Reason.RETIRE_DUE, Reason.REPLICA_BEHIND],
         messages=["mcp-b is on version previous-b"], replicas=(server(current()), server(previous()))),
    Case("reports do not retire while the successor is undelivered", (previous(), UNDELIVERED), None, [],
         replicas=(server(UNDELIVERED),)),
    Case("a first admin is waited for, and is nobody's failure", (), None, [Reason.AWAITS_FIRST_VALUE], kind=ADMIN,
         messages=["secretops put it"]),
    Case("a replaced admin is retired at once: its only reader, the rotator, has let it go",
         (previous(), current(timedelta())), Action.RETIRE, [Reason.RETIRE_DUE], kind=ADMIN),
    Case("a supplied one that is due is only reported", (current(CADENCE),), None, [Reason.DUE], kind=SUPPLIED,
         messages=["secretops put it"]),
    Case("a supplied one's previous version has no user to retire", (previous(), current()), None, [], kind=SUPPLIED),
    Case("a certificate at two thirds of its life is reported", (certificate(20 * DAY, 10 * DAY),), None, [
        Reason.NEAR_EXPIRY], kind=X509, messages=["expires 2026-03-11", "secretops put it"]),
    Case("it is left alone before a thirtieth short of two thirds of its life",
         (certificate(19 * DAY - SECOND, 11 * DAY + SECOND),), None, [], kind=X509, issued=True),
    Case("at two thirds of its life it is renewed", (certificate(20 * DAY, 10 * DAY),), Action.ROTATE, [Reason.DUE],
         kind=X509, issued=True, messages=["due since 2026-02-28"]),
    Case("one that lives for a day is reported well before its end",
         (certificate(21 * HOUR, 3 * HOUR),), Action.ROTATE, [Reason.DUE, Reason.OVERDUE], kind=X509, issued=True),
    Case("one that has expired is renewed and reported", (certificate(30 * DAY, timedelta()),), Action.ROTATE,
         [Reason.DUE, Reason.EXPIRED, Reason.OVERDUE], kind=X509, issued=True, messages=["expired 2026-03-01 12:00"]),
    Case("one that lives for years is renewed by its cadence", (certificate(CADENCE, 1000 * DAY),), Action.ROTATE,
         [Reason.DUE], kind=X509, issued=True),
    *(Case(f"one that was issued under another {what} is replaced at once",
           (certificate(DAY, 29 * DAY, id=issued_id(ID, issuer)),), Action.ROTATE, [Reason.DUE], kind=X509, issued=True)
      for what, issuer in OTHERS.items()),
    Case("one that was issued as it is now stays", (certificate(DAY, 29 * DAY, id=issued_id(ID, ISSUER)),), None, [],
         kind=X509, issued=True),
    Case("one that an operator supplied in its place stays", (certificate(DAY, 29 * DAY, id=ID),), None, [],
         kind=X509, issued=True),
    Case("a supplied one is due by its own life alone", (certificate(CADENCE, 90 * DAY),), None, [], kind=X509),
    Case("the previous key is deleted after the grace",
         (version(Stage.PREVIOUS, None, ago=50 * DAY), certificate(DAY, 29 * DAY)), Action.RETIRE,
         [Reason.RETIRE_DUE], kind=X509, issued=True),
    Case("the previous key of a supplied one is left to an operator",
         (version(Stage.PREVIOUS, None, ago=50 * DAY), certificate(DAY, 29 * DAY)), None, [], kind=X509),
    Case("a CA that the broker does not trust yet is tried again, and the report names what it needs",
         (version(Stage.PENDING, None), certificate(61 * DAY, 29 * DAY)), Action.RESUME,
         [Reason.PENDING_LEFT_BEHIND, Reason.DUE], kind=CA, messages=["secretops trust"]),
    Case("the CA before is kept past any grace while it is relied on",
         (version(Stage.PREVIOUS, None, ago=50 * DAY), certificate(10 * DAY, 80 * DAY)), None, [], kind=CA),
    Case("the CA before goes as soon as nothing living is signed by it",
         (version(Stage.PREVIOUS, None, ago=50 * DAY), certificate(SECOND, 90 * DAY)), Action.RETIRE,
         [Reason.RETIRE_DUE], kind=CA, safe_to_retire=True),
]  # fmt: skip


def facts(case: Case) -> Facts:
    secret = Secret(
        name="it",
        kind=case.kind,
        fields=("username", "password"),
        readers=(Reader.ROTATOR,) if case.kind in (ADMIN, CA) else (Reader.SERVER, Reader.ROTATOR),
        cadence_days=CADENCE.days,
        users=("a", "b") if case.kind.alternates else (),
        issuer=ISSUER if case.issued else None,
    )
    return Facts(
        secret=secret, versions=Versions(case.versions), grace=GRACE, replicas=case.replicas, expected=case.expected,
        guarded=case.guarded, safe_to_retire=case.safe_to_retire,
    )  # fmt: skip


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.sentence)
def test_decision(case: Case) -> None:
    found = findings(facts(case), NOW)
    assert [finding.reason for finding in found] == case.reasons
    decided = first_action(findings(facts(case), NOW))
    assert (decided.action if decided else None) is case.action
    text = " ".join(finding.message for finding in found)
    for part in case.messages:
        assert part in text


@pytest.mark.parametrize(("left", "kind", "versions"), [
    (False, SecretKind.MQTT_USER, ()),
    (False, SecretKind.MQTT_USER, (pending("a"),)),
    (True, SecretKind.MQTT_USER, (pending("somebody"),)),
    (True, SecretKind.MQTT_USER, (current(), pending("somebody"))),
    (True, ADMIN, (pending("a"),)),
    (False, ADMIN, (current(), pending("b"))),
])  # fmt: skip
def test_pending_foreign_user_is_operator_supplied(left: bool, kind: SecretKind, versions: tuple[Version, ...]) -> None:
    case = facts(Case("", versions, None, [], kind=kind))
    assert is_operator_supplied(case.secret, case.versions) is left


def test_the_next_day_is_known_as_soon_as_there_is_a_value() -> None:
    assert due_at(facts(Case("", (), None, []))) is None
    assert due_at(facts(Case("", (current(DAY),), None, []))) == NOW - DAY + CADENCE
    assert due_at(facts(Case("", (UNDELIVERED,), None, []))) == NOW - 50 * DAY + CADENCE


@pytest.mark.parametrize(("life", "left", "due"), [(30, 16, 6), (30, 1, -9), (30, -11, -21), (825, 735, 460)])
def test_supplied_certificate_is_due_at_two_thirds_of_its_life(life: int, left: int, due: int) -> None:
    supplied = facts(Case("", (certificate((life - left) * DAY, left * DAY),), None, [], kind=X509))
    assert due_at(supplied) == NOW + due * DAY


def test_certificates_made_together_are_due_at_different_stable_times() -> None:
    ends = NOW + 30 * DAY
    made = [Version(id=f"{n}", stage=Stage.CURRENT, created=NOW, expires=ends) for n in range(100)]
    times = [renewal_at(one) for one in made]
    shares = [(at - NOW) / (30 * DAY) for at in times if at]
    assert times == [renewal_at(one) for one in made]
    assert all(RENEW_AT - SPREAD <= share <= RENEW_AT for share in shares)
    assert max(shares) - min(shares) > 0.8 * SPREAD
    assert renewal_at(current()) is None, "what has no end"


def test_an_issued_id_is_as_long_as_any_and_keeps_its_time() -> None:
    made = issued_id(ID, ISSUER)
    assert len(made) == len(ID) and made[:23] == ID[:23]
    assert [what for what, issuer in OTHERS.items() if not issuer_changed(made, issuer)] == []
