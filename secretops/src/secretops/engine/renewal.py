"""How a certificate that somebody signs for us gets its successor: prepare -> verify -> publish, and later retire.

There is nothing to apply: a broker that trusts the issuer takes each certificate of it. So the successor and the one in
use are good side by side, and no reader loses its connection.

The key is made here, and is written to the store together with its certificate before anybody else is shown either. A
crash before that loses a certificate whose key nobody has; after it the next tick proves and publishes what is pending.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from secretops import certificates
from secretops.engine.issued_ids import issued_id
from secretops.engine.journal import Journal, written
from secretops.engine.mover import pending_in_time
from secretops.engine.ports import Issuer, VersionStore
from secretops.engine.rotation import Clock, new_token
from secretops.engine.state import Stage, Version
from secretops.manifest import Secret
from secretops.values import Value


class Renewal:
    """Moves one issued certificate. Call it under the store's lease."""

    def __init__(
        self,
        secret: Secret,
        *,
        common_name: str,
        store: VersionStore,
        issuer: Issuer,
        authority: Callable[[], str],
        prove: Callable[[str, Value], None],
        journal: Journal,
        clock: Clock,
    ) -> None:
        """`authority` gives the CA of the broker for whoever reads ca.crt, `prove` shows a version to the broker."""
        self._secret, self._common_name, self._store, self._issuer = secret, common_name, store, issuer
        self._authority, self._prove, self._journal, self._clock = authority, prove, journal, clock

    def advance(self, *, cut_off: bool = False) -> Version:  # noqa: ARG002 - the two are good side by side
        """Finish the pending version, or have a new one made, and publish it. Gives the one that is now current.

        A pending one that is due already, or was issued under other settings, is discarded. Raises RefusedError,
        UnreachableError, StoreError.
        """
        version = pending_in_time(self._store, self._secret, self._clock()) or self.prepare()
        self.verify(version)
        self.publish(version)
        return version

    def prepare(self) -> Version:
        """Make a key, have it certified, look at what came, and keep both as pending."""
        now = self._clock()
        token = new_token(now)
        if self._secret.issuer:
            token = issued_id(token, self._secret.issuer)
        with self._written(token, "prepare"):
            fields = {"ca.crt": self._authority()} if "ca.crt" in self._secret.fields else {}
            key = certificates.new_key()
            self._store.confirm()
            signed = self._issuer.sign(certificates.request_of(key, self._common_name))
            shown, ends = certificates.checked(signed, key, common_name=self._common_name, now=now)
            value = Value({**fields, "client.crt": shown, "client.key": certificates.private_pem(key)})
            version = Version(id=token, stage=Stage.PENDING, created=now, expires=ends)
            self._store.add(self._secret.name, version, value)
        return version

    def verify(self, version: Version) -> None:
        """Show it to the broker, which has to take it, and log in."""
        with self._written(version.id, "verify"):
            self._prove(version.id, self._store.read(self._secret.name, version.id, purpose="verify"))
            self._store.mark(self._secret.name, version.id, verified=self._clock())

    def publish(self, version: Version) -> None:
        """Make it the current one. Only this step does."""
        with self._written(version.id, "publish"):
            self._store.publish(self._secret.name, version.id, self._clock())

    def retire(self, version: Version) -> None:
        """Forget the key of the one before. Its certificate is good until it ends: to revoke one takes a right over
        those of others (docs/adr/0013)."""
        with self._written(version.id, "retire"):
            self._store.mark(self._secret.name, version.id, retired=self._clock())

    def _written(self, version: str, step: str) -> AbstractContextManager[None]:
        return written(self._journal, self._clock, secret=self._secret.name, version=version, step=step)
