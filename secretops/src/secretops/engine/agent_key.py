"""How the key of an agent of ours gets its successor: prepare -> verify -> publish, and later retire.

There is nothing to apply: an agent takes each key of its own, and any number of them. So the successor and the one in
use are good side by side until the one before is deleted.

Whoever makes a key is shown it once. A crash before it is in the store leaves one that works and that nobody has. It is
found again because its name is no chance: it follows from the version that it was to replace, whose id no other store
has. What has such a name and is of no version kept is deleted by the next run; no other key is touched.

A kept one is known by its own id, and its agent's: the name is that of a lost one, too, which may come late.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

from secretops.engine.decisions import Facts, grace_over
from secretops.engine.journal import Journal, written
from secretops.engine.ports import AgentKeys, LostError, NamedKey, VersionStore
from secretops.engine.rotation import Clock, GraceError, new_token
from secretops.engine.state import Stage, Version
from secretops.errors import RefusedError
from secretops.manifest import Secret

TRIES = 3
"""How often a key is asked for in one run. After each answer that was lost it is looked for, and deleted."""

FIRST_SECONDS = (2.0, 4.0, 8.0)
"""Pauses before a new key is shown again that the agent does not take yet: two services have to know of it."""


@dataclass(frozen=True)
class Look:
    """What an agent has, held against the versions kept."""

    left: tuple[NamedKey, ...]
    """Keys that were made to replace a version of ours, and are of none. Not to replace one that has lost its own key:
    a store out of a backup has never seen the key after it, which readers may have until that version is retired."""
    lost: str | None
    """Why readers hold a key that the agent does not take, as a sentence."""


class AgentKey:
    """Moves the key of one agent. Call it under the store's lease.

    `admins` gives the ids of the versions kept of the token that keys are made with, the current one first: of a secret
    that has no version yet, names follow from those.
    """

    def __init__(
        self,
        secret: Secret,
        *,
        prefix: str,
        agent: AgentKeys,
        admins: tuple[str, ...],
        store: VersionStore,
        journal: Journal,
        clock: Clock,
        grace: timedelta,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._secret, self._prefix, self._agent, self._admins = secret, prefix, agent, admins
        self._store, self._journal, self._clock, self._grace, self._sleep = store, journal, clock, grace, sleep

    def advance(self, *, cut_off: bool = False) -> Version:
        """Finish the pending version, or make a new one, and publish it. Gives the one that is now current.

        A pending one that the agent still does not take is replaced. With `cut_off` the readers of the version before
        the current one have no grace. Raises GraceError, RefusedError, UnreachableError, StoreError.
        """
        self._make_way(cut_off=cut_off)
        version = self._store.versions(self._secret.name).pending
        if version:
            try:
                self.verify(version)
            except RefusedError:
                if version.user:  # also where it is of the agent that was the stack's before
                    self._delete([NamedKey.of(version.user)])
                self._store.discard(self._secret.name, version.id)
                version = None
        if version is None:
            version = self.prepare()
            self._verify_new(version)
        self.publish(version)
        return version

    def prepare(self) -> Version:
        """Have a key made, and keep it as pending at once."""
        now = self._clock()
        token, name = new_token(now), self._next_name()
        with self._written(token, "prepare"):
            for left in reversed(range(TRIES)):
                self._delete(self.look().left)
                self._store.confirm()
                try:
                    key, value = self._agent.create(name)
                    break
                except LostError:
                    if not left:
                        raise
            made = Version(id=token, stage=Stage.PENDING, created=now, user=str(key))
            self._store.add(self._secret.name, made, value)
            self._delete(self.look().left)
        return self._store.versions(self._secret.name).known(self._secret.name, token)

    def verify(self, version: Version) -> None:
        """Have the agent answer to it."""
        with self._written(version.id, "verify"):
            self._agent.verify(self._store.read(self._secret.name, version.id, purpose="verify"))
            self._store.mark(self._secret.name, version.id, verified=self._clock())

    def publish(self, version: Version) -> None:
        """Make it the current one. Only this step does."""
        with self._written(version.id, "publish"):
            self._store.publish(self._secret.name, version.id, self._clock())

    def retire(self, version: Version) -> None:
        """Delete the key, of the agent that it was made of. One that an operator has put is theirs: its value is
        forgotten."""
        with self._written(version.id, "retire"):
            if version.user:
                key = NamedKey.of(version.user)
                there = key.agent != self._agent.id or key.id in {one.id for one in self._agent.listed()}
                self._delete([key] if there else [])
            self._store.mark(self._secret.name, version.id, retired=self._clock())

    def tidy(self) -> str | None:
        """Delete what a crash left. Gives why readers hold a key that the agent does not take, if so it is."""
        look = self.look()
        self._delete(look.left)
        return look.lost

    def look(self) -> Look:
        """What the agent has, held against what is kept. Asks once, and changes nothing."""
        versions, keys = self._store.versions(self._secret.name), self._agent.listed()
        there = {str(key) for key in keys}
        of_it = f"{self._agent.id}/"
        missing = [
            version
            for version in versions.living
            if version.user and version.user.startswith(of_it) and version.user not in there
        ]
        followed = [version.id for version in versions.all if version not in missing]
        ours = {self._name_after(id) for id in (*followed, *self._admins)}
        kept = {version.user for version in versions.living}
        left = tuple(key for key in keys if key.name in ours and str(key) not in kept)
        return Look(left, self._lost(versions.current, missing))

    def _lost(self, current: Version | None, missing: Collection[Version]) -> str | None:
        if current is None or not current.user:
            return None
        key = NamedKey.of(current.user)
        if key.agent != self._agent.id:
            return f"key {key.id} was of agent {key.agent}, and the stack's is another now"
        if current in missing:
            return f"the agent has no key {key.id} any more, which was current"
        return None

    def _make_way(self, *, cut_off: bool) -> None:
        """Retire the previous version, which the store forgets with the next one. Raises GraceError."""
        now = self._clock()
        versions = self._store.versions(self._secret.name)
        previous = versions.previous
        if previous is None or previous.retired:
            return
        until = grace_over(previous, Facts(secret=self._secret, versions=versions, grace=self._grace))
        if not cut_off and (until is None or now < until):
            old = f"key {NamedKey.of(previous.user).id}" if previous.user else f"the key of version {previous.id}"
            rule = "a key is not deleted while its readers may still hold it"
            raise GraceError(self._secret.name, old, until or now + self._grace, rule=rule)
        self.retire(previous)

    def _verify_new(self, version: Version) -> None:
        for pause in FIRST_SECONDS:
            try:
                return self.verify(version)
            except RefusedError:
                self._sleep(pause)
        return self.verify(version)

    def _next_name(self) -> str:
        """Of the key that replaces the current version's."""
        current = self._store.versions(self._secret.name).current
        return self._name_after(current.id if current else self._admins[0])

    def _name_after(self, version: str) -> str:
        return f"{self._prefix}-{hashlib.sha256(version.encode()).hexdigest()[:16]}"

    def _delete(self, keys: Iterable[NamedKey]) -> None:
        for key in keys:
            self._store.confirm()
            self._agent.delete(key)

    def _written(self, version: str, step: str) -> AbstractContextManager[None]:
        return written(self._journal, self._clock, secret=self._secret.name, version=version, step=step)
