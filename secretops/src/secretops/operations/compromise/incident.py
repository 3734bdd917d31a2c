"""One incident: what was out, what has been done about it, and when. A command that was cut short goes on from it.

Public: names of versions and users, never a value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, Field

from secretops.manifest import Model
from secretops.operations.audit import Row


class Step(StrEnum):
    """What is done about a compromised secret, in this order."""

    FREEZE = "freeze"  # nobody else rotates meanwhile
    REPLACE = "replace"  # a new value, proven and published; the old one ended at once
    BOTH_SLOTS = "both slots"  # the other broker user gets a new password, too
    PROOF = "proof"  # the old value is refused
    READERS = "readers"  # every server is on the new version
    TRAIL = "trail"  # who read it


class Moment(Model):
    """One go at one step."""

    step: Step
    began: AwareDatetime
    ended: AwareDatetime | None = None
    """None while it is under way, and for good where it was cut short."""
    told: str = ""


class Out(Model):
    """One version that was good when the incident began, so that somebody may have it."""

    id: str
    """Of the version, or a text that names the user where the store has lost the version."""
    stage: str
    user: str | None = None
    serial: str | None = None
    """Of a certificate, in hexadecimal."""


class Read(Model):
    """One row of the trail, as `secretops audit` has it."""

    reader: str
    secret: str
    operation: str
    outcome: str
    declared: bool
    count: int
    first: AwareDatetime
    last: AwareDatetime
    sources: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            reader=row.reader,
            secret=row.secret,
            operation=row.operation,
            outcome=row.outcome,
            declared=row.declared,
            count=row.count,
            first=row.first,
            last=row.last,
            sources=tuple(row.sources),
        )


class Incident(Model):
    """All that is known of it. Each change gives another one, which the caller records."""

    project: str
    stack: str
    store: str
    secret: str
    kind: str
    began: AwareDatetime
    since: AwareDatetime
    """From when on the trail is looked at."""
    known: tuple[str, ...]
    """The ids of all versions there were when it began, or when a proof failed. Any other was made since."""
    out: tuple[Out, ...]
    """Those that were good when it began."""
    kept: tuple[str, ...] = ()
    """The operator's own users whose version is retired: they were left as they are, and may still log in."""
    taken_over: tuple[str, ...] = ()
    """Users that this stack has no value of, so that somebody else may use them."""
    servers: int | None = None
    """How many reported which version they use, before anything was done; None where that could not be known."""
    moments: tuple[Moment, ...] = ()
    done: tuple[Step, ...] = ()
    left: dict[Step, tuple[str, ...]] = Field(default_factory=dict)
    """What a person has to do still, by the step that found it."""
    reads: tuple[Read, ...] | None = None
    """Who read and changed it since, the undeclared first; None while nobody has looked."""
    ended: AwareDatetime | None = None

    @property
    def to_do(self) -> tuple[str, ...]:
        return tuple(text for step in Step for text in self.left.get(step, ()))

    def begin(self, step: Step, now: datetime) -> Incident:
        return self.model_copy(update={"moments": (*self.moments, Moment(step=step, began=now))})

    def end(self, step: Step, now: datetime, told: str, *, left: tuple[str, ...] = (), done: bool = True) -> Incident:
        """The last moment, of `step`, is over; not `done`: it has to be gone on with."""
        *before, last = self.moments
        others = {each: texts for each, texts in self.left.items() if each is not step}
        return self.model_copy(
            update={
                "moments": (*before, last.model_copy(update={"ended": now, "told": told})),
                "done": (*self.done, step) if done and step not in self.done else self.done,
                "left": {**others, step: left} if left else others,
            }
        )

    def undone(self, *steps: Step) -> Incident:
        return self.model_copy(update={"done": tuple(step for step in self.done if step not in steps)})

    def again(self, *versions: str) -> Incident:
        """With these known too, so that they are replaced as well."""
        known = tuple(dict.fromkeys((*self.known, *versions)))
        return self.model_copy(update={"known": known}).undone(*Step)


Record = Callable[[Incident], None]
"""Keeps an incident as it stands now. Called before and after each step."""
