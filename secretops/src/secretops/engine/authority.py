"""How the stack's own CA gets its successor: prepare -> verify -> publish, and later retire.

Nobody but a person gives a broker a CA to trust. So a new one is pending until the broker takes a certificate of it;
until then the one before signs on, and no client notices. From then on the new one signs, and both are trusted. The one
before is retired, its key forgotten, once nothing that a reader may show is signed by it: nobody is cut off.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from secretops import certificates, signing
from secretops.engine.journal import Journal, written
from secretops.engine.mover import pending_in_time
from secretops.engine.ports import VersionStore
from secretops.engine.rotation import Clock, new_token
from secretops.engine.state import Stage, Version
from secretops.errors import AttentionError, RefusedError, SecretopsError, UnreachableError, WaitingError
from secretops.manifest import PrivateCaIssuer, Secret
from secretops.values import Value

PROBE_SECONDS = 3600
"""How long the certificate is good that a new CA is proven by. Nobody keeps its key."""


class Authority:
    """Moves one CA. Call it under the store's lease."""

    def __init__(
        self,
        secret: Secret,
        issuer: PrivateCaIssuer,
        *,
        store: VersionStore,
        relied_on: Callable[[Version], bool],
        prove: Callable[[str, Value], None],
        journal: Journal,
        clock: Clock,
    ) -> None:
        """`relied_on` says whether a living certificate is signed by a CA, `prove` shows the broker a certificate."""
        self._secret, self._issuer, self._store = secret, issuer, store
        self._relied_on, self._prove, self._journal, self._clock = relied_on, prove, journal, clock

    def advance(self, *, cut_off: bool = False) -> Version:  # noqa: ARG002 - who wants a client cut off retires
        """Finish the pending CA, or make a new one, and publish it. Gives the one that is now current.

        Raises WaitingError, for the first one, and AttentionError while the broker takes no certificate of it, or while
        the CA before is relied on; StoreError.
        """
        version = pending_in_time(self._store, self._secret, self._clock()) or self.prepare()
        self.verify(version)
        self.publish(version)
        return version

    def prepare(self) -> Version:
        """Make a CA, and keep it as pending."""
        previous = self._store.versions(self._secret.name).previous
        if previous and not previous.retired:  # the store forgets it once there is a next one
            if self._relied_on(previous):
                raise AttentionError(
                    f"{self._secret.name}: {previous.id}, the CA before, has signed a certificate that is in use",
                    rule="a broker trusts two CAs at most, and nobody is cut off",
                    remedy="have that one renewed (secretops rotate), wait for the grace to end, and run a tick",
                )
            self.retire(previous)
        now = self._clock()
        token = new_token(now)
        with self._written(token, "prepare"):
            certificate, key, ends = signing.new_authority(
                self._issuer.common_name, seconds=self._issuer.ca_seconds, now=now
            )
            version = Version(id=token, stage=Stage.PENDING, created=now, expires=ends)
            self._store.add(self._secret.name, version, Value({"ca.crt": certificate, "ca.key": key}))
        return version

    def verify(self, version: Version) -> None:
        """Show the broker a certificate that it signed, for a key that nobody keeps."""
        name = self._secret.name
        first = self._store.versions(name).current is None
        kind: type[SecretopsError] = WaitingError if first else AttentionError
        with self._written(version.id, "verify"):
            authority = self._store.read(name, version.id, purpose="prove that the broker trusts it")
            key = certificates.new_key()
            signed = signing.sign(
                certificates.request_of(key, self._issuer.common_name),
                authority["ca.crt"],
                authority["ca.key"],
                seconds=PROBE_SECONDS,
                now=self._clock(),
            )
            probe = {"client.crt": signed.certificate, "client.key": certificates.private_pem(key)}
            try:
                with suppress(RefusedError):  # of a password: the certificate was taken before
                    self._prove(f"{version.id}-{secrets.token_hex(4)}", Value(probe))
            except UnreachableError as error:
                raise kind(
                    f"{name}: the broker takes no certificate of {version.id} yet, or does not answer",
                    rule=f"{error.what}\na CA signs once the broker has taken a certificate of it"
                    + ("" if first else "; until then the one before does"),
                    remedy="if it runs: give it what `secretops trust` prints, beside what it trusts already; "
                    "a tick then goes on",
                ) from error
            self._store.mark(name, version.id, verified=self._clock())

    def publish(self, version: Version) -> None:
        """Make it the one that signs. Only this step does."""
        with self._written(version.id, "publish"):
            self._store.publish(self._secret.name, version.id, self._clock())

    def retire(self, version: Version) -> None:
        """Forget its key: nobody signs by it any more. The broker trusts it until a person takes it out there."""
        with self._written(version.id, "retire"):
            self._store.mark(self._secret.name, version.id, retired=self._clock())

    def _written(self, version: str, step: str) -> AbstractContextManager[None]:
        return written(self._journal, self._clock, secret=self._secret.name, version=version, step=step)
