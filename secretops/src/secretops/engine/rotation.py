"""Rotates a broker user: prepare -> apply -> verify -> publish, and later retire.

Every step is idempotent under one token, the version's id. A crash between two effects leaves a state from which the
next tick converges. The credential that readers have is never touched: the new one is set on the idle user, proven, and
only then published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from secretops.engine.decisions import is_operator_supplied
from secretops.engine.ports import Target, UserTakenError
from secretops.engine.rotator import Rotator, new_token
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import RefusedError
from secretops.values import Value, new_password


@dataclass(eq=False, kw_only=True)
class Rotation(Rotator):
    """Rotates one alternating secret.

    `admin` reads the credential of the acting broker admin; it is called only when a step needs it.
    """

    target: Target
    admin: Callable[[], Value]
    _made: tuple[str, Value] | None = field(default=None, init=False)

    def advance(self, *, force: bool = False) -> Version:
        """Finish the pending version or prepare a new one, then publish it. Return the version that is now current.

        An operator-supplied version is verified and published, never set: its user is theirs. `force` sets a new
        password of a user that is in use or has no version. Raises GraceError and UserTakenError unless `force`.
        """
        before = self.versions
        version = before.pending
        if version is None or not is_operator_supplied(self.secret, before):
            if version is None or (before.current and before.current.user == version.user):
                version = self.prepare(force=force)
            self.apply(version, force=force)
        self.verify(version)
        version = self.publish(version)
        if force:
            self.scramble_unknown(before, version)
        return version

    def scramble_unknown(self, before: Versions, published: Version) -> None:
        """Scramble each user without a version: it may log in by the password of a lost record.

        `before` are the versions before `published` became current. Raises what the target raises.
        """
        known = {version.user for version in (*before.all, published)}
        for user in sorted(set(self.secret.users) - known):
            with self._step("retire", published.id):
                self._scramble(user)

    def prepare(self, *, token: str | None = None, force: bool = False) -> Version:
        """Choose the idle user, make its value, and keep it as pending, before the target learns of it.

        `token` is the version's id if Secrets Manager chooses it. Idempotent: the target may know the value already.
        """
        if token and (prepared := self.prepared(token)):
            return prepared
        now, versions = self.clock(), self.versions
        taken = {version.user for version in (versions.current, versions.previous) if version}
        in_use = versions.current and versions.current.user
        free = [user for user in self.secret.users if user != in_use]
        user = next((user for user in free if user not in taken), free[0])
        if not force:
            self.respect_grace()
        version = Version(id=token or new_token(now), stage=Stage.PENDING, created=now, user=user)
        with self._step("prepare", version.id):
            value = Value({"username": user, "password": new_password()})
            self._made = version.id, value
            return self._add(version, value)

    def prepared(self, token: str) -> Version | None:
        """Return the pending version `token`, or None. A version without a value does not count."""
        version = self.versions.pending
        return version if version and version.id == token else None

    def respect_grace(self) -> None:
        """Raise GraceError while readers may still use the user of the previous version."""
        previous = self.versions.previous
        if previous and previous.user in self.secret.users:
            rule = "a user is never given a new password while its readers may still hold the old one"
            self.check_grace(f"user {previous.user}", rule=rule)

    def apply(self, version: Version, *, force: bool = False) -> None:
        """Make the target accept it.

        A store without a version of its users (another folder, a second clone) cannot know whether one is in use: it
        creates users, and takes over none unless `force`.
        """
        versions, name = self.versions, self.secret.name
        if versions.current and versions.current.user == version.user:
            raise RefusedError(
                f"{name}: pending version {version.id} is for user {version.user}, which is in use",
                rule="a rotation never touches the user that the current version is for",
                remedy=f"secretops rotate {name} makes a new one in its place",
            )
        known = {each.user for each in (versions.current, versions.previous) if each}
        new = not force and known.isdisjoint(self.secret.users)
        with self._step("apply", version.id):
            admin, value = self.admin(), self._value(version, "apply")
            self.store.confirm()
            try:
                self.target.apply(admin, value, new=new)
            except UserTakenError as error:
                raise UserTakenError(
                    error.what,
                    rule=f"this store has no version of it, so it may be in use; a first {name} is a user of its own",
                    remedy=f"`secretops put {name}` with its password, or `secretops rotate {name} --now` takes it "
                    "over and cuts off whoever uses it (docs/operations/lost-store.md, if the store had one)",
                ) from error

    def verify(self, version: Version) -> None:
        """Log in as it, and do what its readers will do."""
        with self._step("verify", version.id):
            self.target.verify(self._value(version, "verify"))
            self._mark(version, verified=self.clock())

    def reapply_current(self) -> bool:
        """Set the current version again if the target refuses it and no reader has it. Return whether that was needed.

        Its password changed out of band before its delivery: readers still use the previous version's user.
        """
        version = self.versions.current
        if version is None or version.published or version.user not in self.secret.users:
            return False
        value = self._value(version, "verify")
        try:
            self.target.verify(value)
        except RefusedError:
            with self._step("apply", version.id):
                admin = self.admin()
                self.store.confirm()
                self.target.apply(admin, value)
            self.verify(version)
            return True
        return False

    def _revoke(self, version: Version) -> None:
        """Make the version's password worthless, except of an operator's own user, or one with a newer password."""
        current = self.versions.current
        in_use = current is not None and current.user == version.user
        if version.user in self.secret.users and not in_use:
            self._scramble(version.user)

    def _value(self, version: Version, purpose: str) -> Value:
        """Return the value. `apply` needs no read of one that was just made: `verify` reads what the store has."""
        if purpose == "apply" and self._made and self._made[0] == version.id:
            return self._made[1]
        return super()._value(version, purpose)

    def _scramble(self, user: str) -> None:
        """Confirm the lease last: a target knows of no lease, and an idle user may have become the one in use."""
        admin = self.admin()
        self.store.confirm()
        self.target.retire(admin, user)
