"""A report with late and waiting secrets, failed steps, and a reader with a hostile name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from secretops.check import Level
from secretops.engine.journal import Entry
from secretops.operations.audit import Row, View
from secretops.operations.external_certificates import ExternalCertificate
from secretops.operations.report import OpenFinding, Reads, Report, SecretAge
from secretops.operations.status import Status

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = "<script>alert(1)</script>\u202e\"><img src=x onerror='alert(2)'>{{ 7 * 7 }}"
STEPS = ("prepare", "apply", "verify", "publish")


def made(secrets: int = 5, readers: int = 4, rotations: int = 4) -> Report:
    """Return a report in which each third secret is late, and each fifth rotation failed once before it succeeded."""
    aged = [_aged(number) for number in range(secrets)]
    steps = [step for one in aged for step in _steps(one, rotations)]
    return Report(
        project="coreflux-mcp-secrets",
        stack="prod",
        store="aws",
        made=NOW,
        since=NOW - 900 * DAY,
        findings=(
            OpenFinding(where="reads", level=Level.ATTENTION, what=f"{HOSTILE}, 3 times", rule="a rule", remedy="one"),
            OpenFinding(where="alarm", level=Level.UNKNOWN, what="could not be checked"),
        ),
        examined=True,
        secrets=(*sorted(aged, key=lambda one: -(one.used or 0)), _waiting()),
        certificates=(ExternalCertificate(
            name=f"broker {HOSTILE}", source="certificate of broker.example:8883", begins=NOW - 300 * DAY,
            ends=NOW + 65 * DAY, remedy="renew it at the broker",
        ),),
        steps=tuple(sorted(steps, key=lambda entry: entry.time)),
        steps_lacking="This store keeps each secret's newest entry.",
        reads=Reads(view=View(rows=[_row(number) for number in range(readers)], lines=90, broken=2, broken_in=["log"])),
    )  # fmt: skip


def _aged(number: int) -> SecretAge:
    cadence, used = (90, 180, 365)[number % 3], 1.2 if number % 3 == 2 else 0.1 + number % 8 / 10
    since = NOW - used * cadence * DAY
    due = since + cadence * DAY
    return SecretAge(
        name=f"connection-{number}", kind="mqtt-user", status=Status.ATTENTION if used > 1 else Status.VERIFIED,
        version=f"20261101T000000Z-{number}", since=since, age_days=used * cadence, cadence_days=cadence,
        used=used, due=due, expires=due + 600 * DAY if number % 2 else None, servers="2 current",
        notes=(f"due since {due:%Y-%m-%d}",) if used > 1 else (),
    )  # fmt: skip


def _waiting() -> SecretAge:
    notes = ("has no value yet: secretops put http-token",)
    waiting = replace(_aged(0), version=None, since=None, age_days=None, used=None, due=None)
    return replace(waiting, name="http-token", kind="supplied", status=Status.WAITING, servers="-", notes=notes)


def _steps(one: SecretAge, rotations: int) -> list[Entry]:
    assert one.since and one.cadence_days
    found = []
    for turn in range(rotations):
        time = one.since - turn * one.cadence_days * DAY
        found += [Entry(time=time, secret=one.name, version=f"v{turn}", step=step, outcome="done") for step in STEPS]
        if turn % 5 == 1:
            refused = f"{one.name}: the broker refuses user a"
            found.append(Entry(time=time - DAY, secret=one.name, version=f"v{turn}", step="verify", outcome=refused))
    return found


def _row(number: int) -> Row:
    role = f"arn:aws:sts::123456789012:assumed-role/coreflux-mcp-task/session-{number}"
    return Row(
        reader=role if number else HOSTILE, secret="mqtt", operation="GetSecretValue",
        outcome="denied" if number == 2 else "got value", allowed=number != 2, value_returned=number != 2,
        changed=False, declared=number > 0, count=3 + 40 * number, first=NOW - 60 * DAY, last=NOW - DAY,
        sources=["203.0.113.9 <b>curl</b>"],
    )  # fmt: skip
