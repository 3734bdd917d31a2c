"""How a secret gets its next value: prepare -> apply -> verify -> publish, and later retire.

Every step is idempotent under one token, the version's id. A crash between any two effects leaves a state from which
the next tick converges, and at no moment is the credential that readers hold touched: the new one is made on the idle
user, proven, and only then published.

A target does not know of leases. So right before it is told to change a user, the store is asked whether nobody has
followed us: the user that was idle when we looked may have become the one in use since.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from secretops.engine.decisions import Facts, grace_of, grace_over, left_by_operator
from secretops.engine.journal import Journal, written
from secretops.engine.ports import Target, UserTakenError, VersionStore
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import RefusedError, SecretopsError
from secretops.manifest import Secret
from secretops.values import Value, new_password

Clock = Callable[[], datetime]


class GraceError(SecretopsError):
    """What was replaced may still be in use: to take it away now would cut its readers off."""

    def __init__(self, secret: str, old: str, until: datetime, *, rule: str) -> None:
        """`old` is what was replaced, as an operator knows it."""
        self.until = until
        super().__init__(
            f"{secret}: {old} was replaced, and may be in use until {until:%H:%M:%S} UTC",
            rule=rule,
            remedy=f"wait until {until:%Y-%m-%d %H:%M:%S} UTC, or cut its readers off with --now",
        )


def new_token(now: datetime) -> str:
    """A version's id: sorts by time, unique without coordination.

    33 characters: AWS' ClientRequestToken, which a version's id is there, has 32 to 64.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


class Rotation:
    """Moves one alternating secret. Call it under the store's lease.

    `admin` reads the acting broker admin's credential; it is called only when a step needs it.
    """

    def __init__(
        self,
        secret: Secret,
        *,
        store: VersionStore,
        target: Target,
        admin: Callable[[], Value],
        journal: Journal,
        clock: Clock,
        grace: timedelta,
    ) -> None:
        self._secret, self._store, self._target, self._admin = secret, store, target, admin
        self._journal, self._clock, self._grace = journal, clock, grace

    def advance(self, *, cut_off: bool = False) -> Version:
        """Finish the pending version, or make a new one, and publish it. Gives the version that is now current.

        What an operator put is proven and published, never set: its user is theirs. With `cut_off` a user that is in
        use gets a new password, and so does one of which the store has no version. Raises GraceError and UserTakenError
        unless `cut_off`, UnreachableError, RefusedError, StoreError.
        """
        facts = self._facts()
        version = facts.versions.pending
        if version is None or not left_by_operator(facts):
            current = facts.versions.current
            if version is None or (current and current.user == version.user):
                version = self.prepare(cut_off=cut_off)
            self.apply(version, cut_off=cut_off)
        self.verify(version)
        self.publish(version)
        if cut_off:
            self.scramble_unknown(facts.versions, version)
        return version

    def scramble_unknown(self, before: Versions, published: Version) -> None:
        """Give each user of the secret that is in neither a password that nobody knows. One that is gone is fine.

        `before` are the versions before `published` became the current one: a store may answer late. A user of which
        it has no version may log in by a password that a lost record named. Raises what the target raises.
        """
        known = {version.user for version in (*before.all, published)}
        for user in sorted(set(self._secret.users) - known):
            with self._written(published.id, "retire"):
                admin = self._admin()
                self._store.confirm()
                self._target.retire(admin, user)

    def prepare(self, *, token: str | None = None, cut_off: bool = False) -> Version:
        """Choose the idle user, make its value, and keep it as pending, before the target hears of it.

        `token` is the version's id where somebody else chooses it (Secrets Manager). Under the same one again the value
        that is pending stays: the target may know it already.
        """
        if token and (prepared := self.prepared(token)):
            return prepared
        now = self._clock()
        versions = self._store.versions(self._secret.name)
        taken = {version.user for version in (versions.current, versions.previous) if version}
        in_use = versions.current and versions.current.user
        free = [user for user in self._secret.users if user != in_use]
        user = next((user for user in free if user not in taken), free[0])
        if not cut_off:
            self.respect_grace()
        version = Version(id=token or new_token(now), stage=Stage.PENDING, created=now, user=user)
        with self._written(version.id, "prepare"):
            self._store.add(self._secret.name, version, Value({"username": user, "password": new_password()}))
        return version

    def prepared(self, token: str) -> Version | None:
        """The pending version called `token`, or None. One that somebody else named and that has no value is none."""
        version = self._facts().versions.pending
        return version if version and version.id == token else None

    def respect_grace(self) -> None:
        """Raise GraceError while the readers of the previous version may still hold it."""
        now = self._clock()
        facts = self._facts()
        previous = facts.versions.previous
        if previous is None or previous.retired or previous.user not in self._secret.users:
            return
        until = grace_over(previous, facts) or now + grace_of(facts)
        if now < until:
            raise GraceError(
                self._secret.name,
                f"user {previous.user}",
                until,
                rule="a user is never given a new password while its readers may still hold the old one",
            )

    def apply(self, version: Version, *, cut_off: bool = False) -> None:
        """Make the target accept it.

        A store that never had a version of a user of its own (another folder, a second clone, a restored machine)
        cannot know whether somebody uses one: it makes users and takes none over, unless `cut_off`.
        """
        versions = self._store.versions(self._secret.name)
        if versions.current and versions.current.user == version.user:
            raise RefusedError(
                f"{self._secret.name}: pending version {version.id} is for user {version.user}, which is in use",
                rule="a rotation never touches the user that the current version is for",
                remedy=f"secretops rotate {self._secret.name} makes a new one in its place",
            )
        known = {each.user for each in (versions.current, versions.previous) if each}
        new = not cut_off and known.isdisjoint(self._secret.users)
        name = self._secret.name
        with self._written(version.id, "apply"):
            admin, value = self._admin(), self._value(version, "apply")
            self._store.confirm()
            try:
                self._target.apply(admin, value, new=new)
            except UserTakenError as error:
                raise UserTakenError(
                    error.what,
                    rule=f"this store has no version of it, so it may be in use; a first {name} is a user of its own",
                    remedy=f"`secretops put {name}` with its password, or `secretops rotate {name} --now` takes it "
                    "over and cuts off whoever uses it (docs/operations/lost-store.md, if the store had one)",
                ) from error

    def verify(self, version: Version) -> None:
        """Log in as it, and do what its readers will do."""
        with self._written(version.id, "verify"):
            self._target.verify(self._value(version, "verify"))
            self._store.mark(self._secret.name, version.id, verified=self._clock())

    def publish(self, version: Version) -> None:
        """Make it the current one. Only this step does."""
        with self._written(version.id, "publish"):
            self._store.publish(self._secret.name, version.id, self._clock())

    def accept_again(self) -> bool:
        """Make the target take the current version anew, where it refuses it and no reader has it. Whether it had to.

        Somebody changed that user's password between its proof and its delivery: readers that were to change over could
        not log in, and kept the version before, which has the other user. Nobody else uses this one.
        """
        version = self._facts().versions.current
        if version is None or version.published or version.user not in self._secret.users:
            return False
        value = self._value(version, "verify")
        try:
            self._target.verify(value)
        except RefusedError:
            with self._written(version.id, "apply"):
                admin = self._admin()
                self._store.confirm()
                self._target.apply(admin, value)
            self.verify(version)
            return True
        return False

    def retire(self, version: Version) -> None:
        """Make the previous version's password worthless.

        A user that secretops did not make (an operator's first admin) is left to the operator. So is a user whose new
        password an operator has put: it is in use, and the version's own password is worthless already.
        """
        current = self._store.versions(self._secret.name).current
        in_use = current is not None and current.user == version.user
        with self._written(version.id, "retire"):
            if version.user in self._secret.users and not in_use:
                admin = self._admin()
                self._store.confirm()
                self._target.retire(admin, version.user)
            self._store.mark(self._secret.name, version.id, retired=self._clock())

    def _facts(self) -> Facts:
        return Facts(secret=self._secret, versions=self._store.versions(self._secret.name), grace=self._grace)

    def _value(self, version: Version, purpose: str) -> Value:
        return self._store.read(self._secret.name, version.id, purpose=purpose)

    def _written(self, version: str, step: str) -> AbstractContextManager[None]:
        return written(self._journal, self._clock, secret=self._secret.name, version=version, step=step)
