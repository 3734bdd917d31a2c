"""Rotates the key of an agent of ours: prepare -> verify -> publish, and later retire.

There is nothing to apply: an agent accepts any number of keys. So the successor and the one in use are good side by
side until the previous one is deleted.

DigitalOcean shows a key once. A crash before it is in the store leaves a key that works and that nobody has. It is
found by its name, which follows from the id of the version that it was to replace; no other store has that id. A key
with such a name that belongs to no version kept is deleted by the next run; no other key is touched.

A kept key is known by its own id and its agent's: a lost one has the same name, and may come late.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from secretops.engine.ports import AgentKeys, NamedKey, UnknownOutcomeError
from secretops.engine.rotator import Rotator, new_token
from secretops.engine.state import Stage, Version
from secretops.errors import RefusedError

# Requests for a key in one run. After each lost answer its key is looked for, and deleted.
TRIES = 3

# Seconds. Pauses before a new key that the agent refuses is shown again: two services have to learn of it.
FIRST_SECONDS = (2.0, 4.0, 8.0)


@dataclass(frozen=True)
class KeyComparison:
    """The keys of an agent, compared with the versions kept."""

    # Keys that were made to replace a version of ours, and belong to none. Not after a version with a lost key: readers
    # may have the next one, which a store restored from a backup does not know.
    leftover: tuple[NamedKey, ...]
    # Why readers have a key that the agent does not accept, as a sentence.
    problem: str | None


@dataclass(eq=False, kw_only=True)
class AgentKey(Rotator):
    """Rotates the key of one agent.

    `admins` are the ids of the versions of the token that keys are made with, the current one first: the first name of
    a key follows from those.
    """

    prefix: str
    agent: AgentKeys
    admins: tuple[str, ...]
    sleep: Callable[[float], None] = time.sleep

    def advance(self, *, force: bool = False) -> Version:
        """Finish the pending version or prepare a new one, then publish it. Return the version that is now current.

        A pending key that the agent still refuses is replaced. With `force` the readers of the previous version have no
        grace. Raises GraceError.
        """
        self._make_room(force=force)
        version = self.versions.pending
        if version:
            try:
                self.verify(version)
            except RefusedError:
                if version.user:  # also where it is of the agent that was the stack's before
                    self._delete([NamedKey.of(version.user)])
                self._discard(version)
                version = None
        if version is None:
            version = self.prepare()
            self._verify_new(version)
        return self.publish(version)

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - both keys are good
        """Have a key made, and keep it as pending at once."""
        now = self.clock()
        current = self.versions.current
        token, name = new_token(now), self._name_after(current.id if current else self.admins[0])
        with self._step("prepare", token):
            for left in reversed(range(TRIES)):
                self._delete(self.compare_keys().leftover)
                self.store.confirm()
                try:
                    key, value = self.agent.create(name)
                    break
                except UnknownOutcomeError:
                    if not left:
                        raise
            version = self._add(Version(id=token, stage=Stage.PENDING, created=now, user=str(key)), value)
            self._delete(self.compare_keys().leftover)
        return version

    def verify(self, version: Version) -> None:
        """Have the agent answer to it."""
        with self._step("verify", version.id):
            self.agent.verify(self._value(version, "verify"))
            self._mark(version, verified=self.clock())

    def tidy(self) -> str | None:
        """Delete what a crash left. Return why readers have a key that the agent does not accept, or None."""
        found = self.compare_keys()
        self._delete(found.leftover)
        return found.problem

    def compare_keys(self) -> KeyComparison:
        """Compare the keys of the agent with the versions kept. Asks once, and changes nothing."""
        versions, keys = self.versions, self.agent.list_keys()
        there = {str(key) for key in keys}
        of_it = f"{self.agent.id}/"
        missing = [
            version
            for version in versions.living
            if version.user and version.user.startswith(of_it) and version.user not in there
        ]
        followed = [version.id for version in versions.all if version not in missing]
        ours = {self._name_after(id) for id in (*followed, *self.admins)}
        kept = {version.user for version in versions.living}
        leftover = tuple(key for key in keys if key.name in ours and str(key) not in kept)
        return KeyComparison(leftover, self._lost(versions.current, missing))

    def _lost(self, current: Version | None, missing: Collection[Version]) -> str | None:
        if current is None or not current.user:
            return None
        key = NamedKey.of(current.user)
        if key.agent != self.agent.id:
            return f"key {key.id} was of agent {key.agent}, and the stack's is another now"
        return f"the agent has no key {key.id} any more, which was current" if current in missing else None

    def _make_room(self, *, force: bool) -> None:
        """Retire the previous version, which the store forgets with the next one. Raises GraceError."""
        previous = self.versions.previous
        if previous is None or previous.retired:
            return
        if not force:
            old = f"key {NamedKey.of(previous.user).id}" if previous.user else f"the key of version {previous.id}"
            self.check_grace(old, rule="a key is not deleted while its readers may still hold it")
        self.retire(previous)

    def _revoke(self, version: Version) -> None:
        """Delete the key, of the agent that it was made of. A key that an operator supplied is theirs."""
        if version.user:
            key = NamedKey.of(version.user)
            there = key.agent != self.agent.id or key.id in {one.id for one in self.agent.list_keys()}
            self._delete([key] if there else [])

    def _verify_new(self, version: Version) -> None:
        for pause in FIRST_SECONDS:
            try:
                return self.verify(version)
            except RefusedError:
                self.sleep(pause)
        return self.verify(version)

    def _name_after(self, version: str) -> str:
        return f"{self.prefix}-{hashlib.sha256(version.encode()).hexdigest()[:16]}"

    def _delete(self, keys: Iterable[NamedKey]) -> None:
        for key in keys:
            self.store.confirm()
            self.agent.delete(key)
