"""Who signs certificates: the stack's own CA, or the issuer of a platform."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from secretops import registry
from secretops.engine import ports
from secretops.errors import StoreError, UsageError, WaitingError
from secretops.manifest import Manifest, PrivateCaIssuer, Secret

if TYPE_CHECKING:
    from secretops.certificates import Signed


def open_issuer(
    manifest: Manifest, secret: Secret, store: ports.VersionStore, clock: Callable[[], datetime]
) -> ports.Issuer:
    """Return the client of the issuer of `secret`. Connects to nothing. Raises UsageError if the stack names none."""
    if secret.issuer is None:
        raise UsageError(
            f"{secret.name}: nobody is named who signs it",
            rule="secretops has only those certificates made whose issuer the stack names",
            remedy=f"secretops put {secret.name}",
        )
    if isinstance(secret.issuer, PrivateCaIssuer):
        return PrivateCa(secret.issuer, store, clock)
    platform: Any = registry.find_issuer(secret.issuer.kind)
    opened: ports.Issuer = platform.open_issuer(manifest, secret.issuer)
    return opened


class PrivateCa:
    """Signs by the CA that is current: one that the broker has taken a certificate of."""

    def __init__(self, issuer: PrivateCaIssuer, store: ports.VersionStore, clock: Callable[[], datetime]) -> None:
        self._issuer, self._store, self._clock = issuer, store, clock

    def sign(self, request: str) -> Signed:
        """Raises WaitingError while there is no such CA yet."""
        from secretops import certificates  # it takes long to load, and a rotation needs none

        name = self._issuer.secret
        current = self._store.versions(name).current
        if current is None:
            raise WaitingError(
                f"{name}: there is no CA yet that the broker takes certificates of",
                rule="a CA signs once the broker has taken a certificate of it",
                remedy=f"secretops rotate {name} says what the broker lacks",
            )
        value = self._store.read(name, current.id, purpose="sign a client certificate")
        try:
            return certificates.sign(
                request, value["ca.crt"], value["ca.key"], seconds=self._issuer.seconds, now=self._clock()
            )
        except ValueError:
            raise StoreError(
                f"{name}: {current.id} holds no CA",
                rule="its value is a certificate and its key, as secretops made them",
                remedy=f"secretops rotate {name} makes a new one; who changed it in the store?",
            ) from None
