"""The staging labels that record the metadata of a secret's versions.

A label has at most 256 characters, and a secret at most 20 labels. secretops uses one for each version, and few others.
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from urllib.parse import quote, unquote

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import UsageError
from secretops.platforms.aws.api import CURRENT, PENDING, PREVIOUS, Labels
from secretops.stores.version_facts import TIMES, fit_outcome, merge, staged

LONGEST = 256
# Id of the empty version, which has the value {}. It is current before the first value and after a purge. Without it
# AWS would make the first version AWSCURRENT, whatever its labels, although secretops has not verified it yet.
NO_VALUE = "secretops-no-value-0000000000000000"
NO_VALUE_LABEL = "secretops.no-value"
# Label of the empty version while `forget` deletes a secret's versions: they are ignored, and after a crash the next
# command finishes. AWSCURRENT on the empty version does not prove this, because people move it there, too.
FORGETTING = "secretops.forgetting"
_FORMAT = "%Y%m%dT%H%M%S%fZ"
_TIMES = {name[0]: name for name in TIMES}
_FACTS = re.compile(r"secretops\.(?P<id>[^.]{32,})\.(?P<times>(?:[cpvre]\d{8}T\d{12}Z\.)+)(?:u(?P<user>.*))?")
_LAST = re.compile(
    r"secretops\.last\.(?P<time>\d{8}T\d{12}Z)\.(?P<step>[\w-]+)\.(?P<version>[^.]+)\."
    r"(@(?P<actor>[^.]*)\.)?(?P<outcome>.*)"
)
# Label with the time at which a tick first found a stray AWSPENDING. `changes` does not remove it.
_STRAY = re.compile(r"secretops-stray\.(?P<since>\d{8}T\d{6}Z)")
_STRAY_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class LabelState:
    labels: Labels

    @cached_property
    def versions_by_label(self) -> dict[str, str]:
        return {label: version for version, has in self.labels.items() for label in has}

    @property
    def current(self) -> str | None:
        return self.versions_by_label.get(CURRENT)

    @property
    def forgetting(self) -> bool:
        return FORGETTING in self.versions_by_label

    @property
    def rolled_back(self) -> bool:
        """Return True if the current version has no publish time: after a rollback by hand, or a crash."""
        current = self.versions.current
        return current is not None and current.published is None

    @property
    def versions(self) -> Versions:
        """Return the versions.

        If AWSCURRENT is on a version that secretops did not write, or has retired, the last published version counts as
        current. If the current version was published before the previous one, a person made it current: its `published`
        is None.
        """
        if self.forgetting:
            return Versions()
        known: dict[str, Version] = {}
        for version in self._facts():  # a version may briefly have two labels
            known[version.id] = merge(version, known.get(version.id, version))
        pending = known.get(self.versions_by_label.get(PENDING, ""))
        current = known.get(self.current or "")
        if pending is current:  # AWS may leave AWSPENDING on the current version
            pending = None
        if current and current.retired:
            current = None
        others = [v for v in known.values() if v.published or PREVIOUS in self.labels.get(v.id, ())]
        others = sorted((v for v in others if v not in (pending, current)), key=self._age)
        current = current or (others.pop() if others and not others[-1].retired else None)
        previous = others[-1] if others else None
        if current and previous and (later := previous.published) and current.published and current.published < later:
            current = current.at(published=None)
        return staged(previous, current, pending)

    def facts_label_of(self, version: str) -> str | None:
        own = f"secretops.{_dotless(version)}."
        return next((label for label in self.versions_by_label if label.startswith(own)), None)

    def last(self, secret: str) -> tuple[str, Entry] | None:
        found = [(label, match) for label in self.versions_by_label if (match := _LAST.fullmatch(label))]
        if not found:
            return None
        label, match = max(found, key=lambda one: one[1]["time"])
        return label, Entry(
            time=_time(match["time"]),
            secret=secret,
            version=unquote(match["version"], errors="replace"),
            step=match["step"],
            outcome=unquote(match["outcome"], errors="replace"),
            actor=unquote(match["actor"] or "", errors="replace"),
        )

    def changes(self, versions: Versions, last: str | None) -> Iterator[tuple[str, str | None, str | None]]:
        """Yield the moves (label, source, target) that make the labels record exactly `versions` and the entry `last`,
        additions first."""
        wanted = dict(self._wanted(versions, last))
        if versions.pending:
            wanted[PENDING] = versions.pending.id
        for label, target in wanted.items():
            if (source := self.versions_by_label.get(label)) != target:
                yield label, source, target
        own = {version.id for version in self._facts()}
        living = {version.id for version in versions.living}
        for version in own & self.labels.keys():
            if PENDING in self.labels[version] and PENDING not in wanted:
                yield PENDING, version, None
            if PREVIOUS in self.labels[version] and version not in living:
                yield PREVIOUS, version, None
        for label, version in sorted(self.versions_by_label.items()):
            if label.startswith("secretops.") and label not in (NO_VALUE_LABEL, FORGETTING, *wanted):
                yield label, version, None

    @property
    def stray_pending(self) -> str | None:
        """Return the version with AWSPENDING, if it is not current and has no metadata of secretops."""
        found = self.versions_by_label.get(PENDING)
        return None if found is None or CURRENT in self.labels[found] or self.versions.pending else found

    @property
    def stray_since(self) -> dict[str, tuple[str, datetime]]:
        """Return version -> (label, time) of each `stray_label`. The time is when a tick first found it."""
        found = ((version, label, _STRAY.fullmatch(label)) for label, version in self.versions_by_label.items())
        return {
            version: (label, datetime.strptime(match["since"], _STRAY_FORMAT).replace(tzinfo=UTC))
            for version, label, match in found
            if match
        }

    def _wanted(self, versions: Versions, last: str | None) -> Iterator[tuple[str, str]]:
        living = [version for version in (versions.current, versions.pending, versions.previous) if version]
        carrier = next((version.id for version in living if not version.retired), None)
        carrier = carrier or self.current or next(iter(self.labels), None)
        for version in versions.all:
            # AWS may have deleted a previous version without labels
            gone = version is versions.previous and version.id not in self.labels
            if holder := carrier if version.retired or gone else version.id:
                yield facts_label(version), holder
        if last and carrier:
            yield last, carrier

    def _facts(self) -> Iterator[Version]:
        for label in self.versions_by_label:
            if match := _FACTS.fullmatch(label):
                times = {_TIMES[text[0]]: _time(text[1:]) for text in match["times"].split(".") if text}
                user = unquote(match["user"]) if match["user"] is not None else None
                if "created" in times:
                    yield Version(id=unquote(match["id"]), stage=Stage.PENDING, user=user, **times)

    def _age(self, version: Version) -> tuple[bool, bool, str]:
        has = self.labels.get(version.id, frozenset())
        return not version.retired, PREVIOUS in has, _format(version.published) if version.published else "~"


def facts_label(version: Version) -> str:
    """Return the label with a version's metadata. Raises UsageError if it is too long."""
    times = {letter: getattr(version, name) for letter, name in _TIMES.items()}
    dates = "".join(f"{letter}{_format(time)}." for letter, time in times.items() if time)
    label = f"secretops.{_dotless(version.id)}.{dates}" + ("" if version.user is None else f"u{quote(version.user)}")
    room = {"published", "verified", "retired"} - {name for name in _TIMES.values() if getattr(version, name)}
    if len(label) + len(room) * (len(_format(version.created)) + 2) > LONGEST:
        raise UsageError(
            f"version {version.id} of user {version.user}: these names are too long",
            rule=f"version id and user name must fit into a staging label of {LONGEST} characters, in which special "
            "characters take three",
            remedy="use a user name of at most 60 letters and digits, and a UUID as the version id",
            code="version-names-too-long",
        )
    return label


def last_label(entry: Entry) -> str:
    label = f"secretops.last.{_format(entry.time)}.{entry.step}.{_dotless(entry.version)}."
    label += f"@{quote(entry.actor, safe=':@').replace('.', '%2E')}." if entry.actor else ""
    return fit_outcome(entry, lambda outcome: label + quote(outcome), LONGEST)


def stray_label(now: datetime) -> str:
    return f"secretops-stray.{now:{_STRAY_FORMAT}}"


def _dotless(token: str) -> str:
    """Encode dots, which separate the parts of a label."""
    return token.replace("%", "%25").replace(".", "%2E")


def _format(time: datetime) -> str:
    return f"{time.astimezone(UTC):{_FORMAT}}"


def _time(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
