"""Renew an issued certificate, or rotate a CA: prepare -> verify -> publish, and later retire.

There is no apply step: a broker that trusts the issuer accepts its certificates. A private key and its certificate are
stored together, before either is used.
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

# Life in seconds of the certificate that tests a new CA. Its key is not stored.
PROBE_SECONDS = 3600


@dataclass(eq=False, kw_only=True)
class Renewal(Rotator):
    """Rotates an issued certificate. Retiring a version deletes its private key, but the certificate stays valid until
    it expires (docs/adr/0013)."""

    common_name: str
    issuer: Issuer
    # Returns the certificate of the broker's CA, which readers get as ca.crt.
    authority: Callable[[], str]
    # Logs in to the broker with a version's certificate.
    prove: Callable[[str, Value], None]

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - both certificates work
        now = self.clock()
        token = new_token(now)
        if self.secret.issuer:
            token = issued_id(token, self.secret.issuer)
        with self._step("prepare", token):
            fields = {"ca.crt": self.authority()} if "ca.crt" in self.secret.fields else {}
            key = certificates.new_key()
            self.store.confirm()
            signed = self.issuer.sign(certificates.signing_request(key, self.common_name))
            certificate, ends = certificates.verify_issued(signed, key, common_name=self.common_name, now=now)
            value = Value({**fields, "client.crt": certificate, "client.key": certificates.private_pem(key)})
            return self._add(Version(id=token, stage=Stage.PENDING, created=now, expires=ends), value)

    def verify(self, version: Version) -> None:
        with self._step("verify", version.id):
            self.prove(version.id, self._value(version, "verify"))
            self._mark(version, verified=self.clock())


@dataclass(eq=False, kw_only=True)
class Authority(Rotator):
    """Rotates a CA. A broker trusts a retired CA until a person removes it there."""

    issuer: PrivateCaIssuer
    # Returns whether a CA signed a certificate that is still valid.
    relied_on: Callable[[Version], bool]
    # Logs in to the broker with a certificate.
    prove: Callable[[str, Value], None]

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - to revoke clients, retire by hand
        """Generate and store a pending CA. Raises AttentionError while the previous CA is in use."""
        previous = self.versions.previous
        if previous and not previous.retired:  # adding the next version removes it from the store
            if self.relied_on(previous):
                raise AttentionError(
                    f"{self.secret.name}: a client may still use a certificate of the previous CA ({previous.id})",
                    rule="no client may use the previous CA when secretops creates a new one: the store has at most "
                    "two CAs",
                    remedy="renew the client certificate: secretops rotate client-cert; after the grace period: "
                    "secretops tick",
                    code="ca-in-use",
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
        """Log in to the broker with a temporary certificate that this CA signs.

        If the broker does not accept it, raises WaitingError for the first CA, and AttentionError for a later one.
        """
        first = self.versions.current is None
        kind: type[SecretopsError] = WaitingError if first else AttentionError
        with self._step("verify", version.id):
            authority = self._value(version, "prove that the broker trusts the CA")
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
                with suppress(RefusedError):  # refused for the password, after the certificate was accepted
                    self.prove(f"{version.id}-{secrets.token_hex(4)}", Value(probe))
            except UnreachableError as error:
                rule = "a CA must not sign certificates before the broker trusts it"
                if not first:
                    rule = "a new CA must not sign certificates before the broker trusts it; the current CA still signs"
                raise kind(
                    f"{self.secret.name}: the broker does not answer, or does not trust CA {version.id} yet",
                    rule=f"{rule}; the login with a certificate of CA {version.id} failed: {error.what}",
                    remedy="add the certificates that `secretops trust` prints to the broker's trusted CAs, then: "
                    "secretops tick",
                    code="ca-not-trusted",
                ) from error
            self._mark(version, verified=self.clock())
