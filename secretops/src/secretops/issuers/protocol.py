"""What every issuer of certificates can do. Small on purpose: a new one is this one method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Signed:
    """What an issuer gave, as PEM. Public, and not looked at yet: `secretops.certificates.checked` does that."""

    certificate: str
    chain: tuple[str, ...]
    """Who signed it, then who signed that one."""


class Issuer(Protocol):
    """Signs a request. It is never shown a key."""

    def sign(self, request: str) -> Signed:
        """A certificate for `request`, a PEM. Asked again it may give another one, which nobody then uses.

        Raises UnreachableError, StoreError.
        """
