"""The stack's own CA: its key is a secret that only a rotator reads, and it signs in the rotator's process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from secretops import certificates
from secretops.certificates import Signed
from secretops.engine.ports import VersionStore
from secretops.errors import StoreError, WaitingError
from secretops.manifest import PrivateCaIssuer


class PrivateCa:
    """Signs by the CA that is current: one that the broker has taken a certificate of."""

    def __init__(self, issuer: PrivateCaIssuer, store: VersionStore, clock: Callable[[], datetime]) -> None:
        self._issuer, self._store, self._clock = issuer, store, clock

    def sign(self, request: str) -> Signed:
        """Raises WaitingError while there is no such CA yet."""
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
