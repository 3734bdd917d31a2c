"""The in-memory store of the simulated year, with versions for tests, and with leases that are taken over at once."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions
from tests.gates.year.store import Holder, Kept, StandInStore

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def version(
    stage: Stage, user: str | None, *, days_ago: int = 1, delivered: bool = True, retired: bool = False
) -> Version:
    """Return a version whose id is the name of its stage."""
    then = NOW - days_ago * DAY
    return Version(
        id=str(stage), stage=stage, created=then, user=user,
        published=then if delivered and stage is not Stage.PENDING else None, retired=NOW if retired else None,
    )  # fmt: skip


@dataclass
class Memory:
    """The content of a store with one secret and a journal."""

    secret: str
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    content: Kept = field(default_factory=Kept)

    def keep(self, *versions: Version) -> None:
        """Set the versions. The value of each contains its user."""
        values = {
            one.id: {"username": one.user or "", "api-key": f"of {one.id}"} for one in versions if not one.retired
        }
        self.content = Kept({self.secret: Versions(versions)}, {self.secret: values})

    @property
    def versions(self) -> Versions:
        return self.content.versions.get(self.secret, Versions())

    def store(self) -> StandInStore:
        """Return the store. Each holder of its lease counts as dead, so that the next process takes over."""
        return StandInStore(self, {}, lambda _token: False)

    def follow(self) -> None:
        self.content = replace(self.content, holder=Holder("another", "the follower"))

    def load(self, what: str) -> Kept:  # noqa: ARG002 - nothing goes wrong here
        return self.content

    def save(self, saved: Kept, what: str) -> None:  # noqa: ARG002
        self.content = saved

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)

    def last(self, secret: str) -> Entry | None:
        return next((entry for entry in reversed(self.entries) if entry.secret == secret), None)
