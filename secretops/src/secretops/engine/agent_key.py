"""Rotate the API key of an owned agent: prepare -> verify -> publish, and later retire.

Unlike a broker user, a key needs no apply step: the agent accepts any number of keys until they are deleted.

The API returns a key's text only once, so a crash before the text is stored loses the key. The name of a new key is
derived from the id of the version that it replaces, so the next run finds the lost key, and deletes it.
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

# Attempts to create a key in one run. After a lost answer, the key that may exist is deleted first.
TRIES = 3

# Seconds between attempts to verify a new key: DigitalOcean distributes it to two services first.
VERIFY_PAUSES = (2.0, 4.0, 8.0)


@dataclass(frozen=True)
class KeyComparison:
    # Keys at the agent to delete: each was created to replace a stored version, and no stored version has it. The
    # successor of a version whose key is missing at the agent is excluded: after a restore from a backup, readers may
    # use it.
    leftover: tuple[NamedKey, ...]
    # Why the agent does not accept the key that readers have.
    problem: str | None


@dataclass(eq=False, kw_only=True)
class AgentKey(Rotator):
    """Rotates an agent's API key. `admins`: version ids of the API token that creates keys, the current one first."""

    prefix: str
    agent: AgentKeys
    admins: tuple[str, ...]
    sleep: Callable[[float], None] = time.sleep

    def advance(self, *, force: bool = False) -> Version:
        """Publish the pending version, or a new one if there is none or the agent refuses its key. Raises
        GraceError."""
        self._retire_previous(force=force)
        version = self.versions.pending
        if version:
            try:
                self.verify(version)
            except RefusedError:
                if version.user:  # the key may also be one of an earlier agent
                    self._delete([NamedKey.of(version.user)])
                self._discard(version)
                version = None
        if version is None:
            version = self.prepare()
            self._verify_new(version)
        return self.publish(version)

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - both keys work
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
        with self._step("verify", version.id):
            self.agent.verify(self._value(version, "verify"))
            self._mark(version, verified=self.clock())

    def tidy(self) -> str | None:
        """Delete keys that a crash left at the agent. Return why the current key is not valid, or None."""
        found = self.compare_keys()
        self._delete(found.leftover)
        return found.problem

    def compare_keys(self) -> KeyComparison:
        versions, keys = self.versions, self.agent.list_keys()
        prefix, existing = f"{self.agent.id}/", {str(key) for key in keys}
        missing = [
            each for each in versions.living if each.user and each.user.startswith(prefix) and each.user not in existing
        ]
        followed = [version.id for version in versions.all if version not in missing]
        ours = {self._name_after(id) for id in (*followed, *self.admins)}
        kept = {version.user for version in versions.living}
        leftover = tuple(key for key in keys if key.name in ours and str(key) not in kept)
        return KeyComparison(leftover, self._problem(versions.current, missing))

    def _problem(self, current: Version | None, missing: Collection[Version]) -> str | None:
        if current is None or not current.user:
            return None
        key = NamedKey.of(current.user)
        if key.agent != self.agent.id:
            return f"the current key {key.id} belongs to agent {key.agent}, which is no longer the stack's"
        return f"the current key {key.id} was deleted at the agent" if current in missing else None

    def _retire_previous(self, *, force: bool) -> None:
        previous = self.versions.previous
        if previous is None or previous.retired:
            return
        if not force:
            old = f"key {NamedKey.of(previous.user).id}" if previous.user else f"the key of version {previous.id}"
            self.check_grace(old, rule="a key is deleted once its grace period is over")
        self.retire(previous)

    def _revoke(self, version: Version) -> None:
        if version.user:
            key = NamedKey.of(version.user)
            exists = key.agent != self.agent.id or key.id in {each.id for each in self.agent.list_keys()}
            self._delete([key] if exists else [])

    def _verify_new(self, version: Version) -> None:
        for pause in VERIFY_PAUSES:
            try:
                return self.verify(version)
            except RefusedError:
                self.sleep(pause)
        return self.verify(version)

    def _name_after(self, version: str) -> str:
        return f"{self.prefix}-{hashlib.sha256(version.encode()).hexdigest()[:16]}"

    def _delete(self, keys: Iterable[NamedKey]) -> None:
        for key in keys:
            self._confirm()
            self.agent.delete(key)
