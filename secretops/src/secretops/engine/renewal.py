"""Renews a certificate that an issuer signs: prepare -> verify -> publish, and later retire.

There is nothing to apply: a broker that trusts the issuer accepts each of its certificates. So the successor and the
one in use are good side by side, and no reader loses its connection.

The key is made here, and kept in the store with its certificate before anybody else sees either. A crash before that
loses a certificate whose key nobody has. After it the next tick proves and publishes what is pending.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from secretops import certificates
from secretops.engine.decisions import issued_id
from secretops.engine.ports import Issuer
from secretops.engine.rotator import Rotator, new_token
from secretops.engine.state import Stage, Version
from secretops.errors import AttentionError, RefusedError, SecretopsError, UnreachableError, WaitingError
from secretops.manifest import PrivateCaIssuer
from secretops.values import Value

# Seconds. Life of the certificate that a new CA is proven by. Nobody keeps its key.
PROBE_SECONDS = 3600


@dataclass(eq=False, kw_only=True)
class Renewal(Rotator):
    """Rotates one issued certificate. The previous one is good until it ends: to revoke it takes a right over the
    certificates of others (docs/adr/0013). To retire it forgets its key."""

    common_name: str
    issuer: Issuer
    # Returns the CA of the broker, for readers of ca.crt.
    authority: Callable[[], str]
    # Shows a version to the broker.
    prove: Callable[[str, Value], None]

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - both certificates are good
        """Make a key, have it certified, check the certificate, and keep both as pending."""
        now = self.clock()
        token = new_token(now)
        if self.secret.issuer:
            token = issued_id(token, self.secret.issuer)
        with self._step("prepare", token):
            fields = {"ca.crt": self.authority()} if "ca.crt" in self.secret.fields else {}
            key = certificates.new_key()
            self.store.confirm()
            signed = self.issuer.sign(certificates.signing_request(key, self.common_name))
            shown, ends = certificates.verify_issued(signed, key, common_name=self.common_name, now=now)
            value = Value({**fields, "client.crt": shown, "client.key": certificates.private_pem(key)})
            return self._add(Version(id=token, stage=Stage.PENDING, created=now, expires=ends), value)

    def verify(self, version: Version) -> None:
        """Show it to the broker, which has to accept it, and log in."""
        with self._step("verify", version.id):
            self.prove(version.id, self._value(version, "verify"))
            self._mark(version, verified=self.clock())


@dataclass(eq=False, kw_only=True)
class Authority(Rotator):
    """Rotates one CA. The broker trusts a retired one until a person removes it there."""

    issuer: PrivateCaIssuer
    # Returns whether a CA signed a living certificate.
    relied_on: Callable[[Version], bool]
    # Shows the broker a certificate.
    prove: Callable[[str, Value], None]

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - to cut a client off, retire by hand
        """Make a CA, and keep it as pending. Raises AttentionError while the previous CA is relied on."""
        previous = self.versions.previous
        if previous and not previous.retired:  # the store forgets it with the next version
            if self.relied_on(previous):
                raise AttentionError(
                    f"{self.secret.name}: {previous.id}, the CA before, has signed a certificate that is in use",
                    rule="a broker trusts two CAs at most, and nobody is cut off",
                    remedy="have that one renewed (secretops rotate), wait for the grace to end, and run a tick",
                )
            self.retire(previous)
        now = self.clock()
        token = new_token(now)
        with self._step("prepare", token):
            certificate, key, ends = certificates.new_ca(
                self.issuer.common_name, seconds=self.issuer.ca_seconds, now=now
            )
            version = Version(id=token, stage=Stage.PENDING, created=now, expires=ends)
            return self._add(version, Value({"ca.crt": certificate, "ca.key": key}))

    def verify(self, version: Version) -> None:
        """Show the broker a certificate that it signed, for a key that nobody keeps.

        While the broker accepts none raises WaitingError for the first CA, AttentionError for a later one.
        """
        first = self.versions.current is None
        kind: type[SecretopsError] = WaitingError if first else AttentionError
        with self._step("verify", version.id):
            authority = self._value(version, "prove that the broker trusts it")
            key = certificates.new_key()
            signed = certificates.sign(
                certificates.signing_request(key, self.issuer.common_name),
                authority["ca.crt"],
                authority["ca.key"],
                seconds=PROBE_SECONDS,
                now=self.clock(),
            )
            probe = {"client.crt": signed.certificate, "client.key": certificates.private_pem(key)}
            try:
                with suppress(RefusedError):  # of a password: the certificate was accepted before
                    self.prove(f"{version.id}-{secrets.token_hex(4)}", Value(probe))
            except UnreachableError as error:
                raise kind(
                    f"{self.secret.name}: the broker takes no certificate of {version.id} yet, or does not answer",
                    rule=f"{error.what}\na CA signs once the broker has taken a certificate of it"
                    + ("" if first else "; until then the one before does"),
                    remedy="if it runs: give it what `secretops trust` prints, beside what it trusts already; "
                    "a tick then goes on",
                ) from error
            self._mark(version, verified=self.clock())
