"""Renews a certificate that an issuer signs: prepare -> verify -> publish, and later retire.

There is nothing to apply: a broker that trusts the issuer accepts each of its certificates. So the successor and the
one in use are good side by side, and no reader loses its connection.

The key is made here, and kept in the store with its certificate before anybody else sees either. A crash before that
loses a certificate whose key nobody has. After it the next tick proves and publishes what is pending.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secretops import certificates
from secretops.engine.decisions import issued_id
from secretops.engine.ports import Issuer
from secretops.engine.rotator import Rotator, new_token
from secretops.engine.state import Stage, Version
from secretops.values import Value


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
            signed = self.issuer.sign(certificates.request_of(key, self.common_name))
            shown, ends = certificates.checked(signed, key, common_name=self.common_name, now=now)
            value = Value({**fields, "client.crt": shown, "client.key": certificates.private_pem(key)})
            return self._add(Version(id=token, stage=Stage.PENDING, created=now, expires=ends), value)

    def verify(self, version: Version) -> None:
        """Show it to the broker, which has to accept it, and log in."""
        with self._step("verify", version.id):
            self.prove(version.id, self._value(version, "verify"))
            self._mark(version, verified=self.clock())
