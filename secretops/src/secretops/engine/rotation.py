"""Rotate a broker user: prepare -> apply -> verify -> publish, and later retire.

After a crash the next tick continues from the stored state. The user that readers log in as is never changed: the idle
user gets the new password.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from secretops.engine.decisions import is_operator_supplied
from secretops.engine.ports import Target, UserTakenError
from secretops.engine.rotator import Rotator, new_token
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import RefusedError, SecretopsError
from secretops.values import Value, new_password


@dataclass(eq=False, kw_only=True)
class Rotation(Rotator):
    """Rotates a secret that alternates between two broker users. `admin` reads the credential of the broker's admin."""

    target: Target
    admin: Callable[[], Value]
    _made: tuple[str, Value] | None = field(default=None, init=False)

    def advance(self, *, force: bool = False) -> Version:
        """Publish the pending version, or a new one. Unless `force`, raises GraceError, UserTakenError.

        The user of an operator-supplied version is not changed at the broker, only verified.
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
        """Scramble the passwords of the secret's users without a version in `before` or `published`: somebody may know
        these passwords."""
        name, known = self.secret.name, {version.user for version in (*before.all, published)}
        for user in sorted(set(self.secret.users) - known):
            try:
                with self._step("retire", published.id):
                    self._scramble(user)
            except SecretopsError as error:
                what = f"{name}: {published.id} is current, but user {user} may still log in: {error.what}"
                rule = (
                    "after this command, no user of the secret may log in with a password that the store does not have"
                )
                again = f"secretops rotate {name} --now; or to continue an incident: secretops compromise {name}"
                remedy = f"{error.remedy}; then: {again}" if error.remedy else again
                failed = SecretopsError(what, rule=rule, remedy=remedy, code="user-not-scrambled")
                failed.exit_code = error.exit_code
                raise failed from error

    def prepare(self, *, token: str | None = None, force: bool = False) -> Version:
        """Store a pending password for the idle user, before the target receives it.

        `token`: the version's id, if Secrets Manager has chosen it. A further call with the same token returns the same
        version.
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
        version = self.versions.pending
        return version if version and version.id == token else None

    def respect_grace(self, supplied: str | None = None) -> None:
        """Raise GraceError during the grace period, unless `supplied`, an operator's user, is the previous version's
        user."""
        previous = self.versions.previous
        if previous is None:
            return
        if previous.user in self.secret.users:
            rule = "a user gets a new password once the grace period of its readers is over"
        elif previous.user == supplied:
            return
        else:  # the user keeps its password, but the next version removes the previous one from the store
            rule = "a version stays in the store until the grace period of its readers is over"
        self.check_grace(f"user {previous.user}", rule=rule)

    def apply(self, version: Version, *, force: bool = False) -> None:
        """Set the password of `version` at the broker. Without `force`, raises UserTakenError if the user exists, but
        the store has no version of the secret's users: other clients may use it."""
        versions, name = self.versions, self.secret.name
        if versions.current and versions.current.user == version.user:
            raise RefusedError(
                f"{name}: pending version {version.id} is for user {version.user}, which is in use",
                rule="a rotation must not change the password of the user that the current version uses",
                remedy=f"replace the pending version: secretops rotate {name}",
                code="pending-user-in-use",
            )
        known = {each.user for each in (versions.current, versions.previous) if each}
        new = not force and known.isdisjoint(self.secret.users)
        with self._step("apply", version.id):
            admin, value = self.admin(), self._value(version, "apply")
            self._confirm()
            try:
                self.target.apply(admin, value, new=new)
            except UserTakenError as error:
                raise UserTakenError(
                    error.what,
                    rule="a user without a version in this store must not be changed: it may be in use",
                    remedy=f"supply the user's password: secretops put {name}; or take over the user, which "
                    f"disconnects its readers: secretops rotate {name} --now (docs/operations/lost-store.md)",
                    code="user-taken",
                ) from error

    def verify(self, version: Version) -> None:
        with self._step("verify", version.id):
            self.target.verify(self._value(version, "verify"))
            self._mark(version, verified=self.clock())

    def reapply_current(self) -> bool:
        """Set the current version's password again if the version is not delivered yet and the broker refuses it.
        Return whether it was set."""
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
        current = self.versions.current
        in_use = current is not None and current.user == version.user
        if version.user in self.secret.users and not in_use:
            self._scramble(version.user)

    def _value(self, version: Version, purpose: str) -> Value:
        if purpose == "apply" and self._made and self._made[0] == version.id:
            return self._made[1]
        return super()._value(version, purpose)

    def _scramble(self, user: str) -> None:
        # Confirm last, since a target knows no lease: another process may use the idle user by now.
        admin = self.admin()
        self._confirm()
        self.target.retire(admin, user)
