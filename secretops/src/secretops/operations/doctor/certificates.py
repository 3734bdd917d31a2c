"""The certificates that others renew: whether each is good, trusted, and not near its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secretops.check import Result, attention, ok
from secretops.operations.external_certificates import NAME, watched
from secretops.operations.session import Session


@dataclass(frozen=True)
class CertificatesLast:
    """What the broker shows leads to the CA that is trusted, names its host and lasts; so does what an issuer keeps."""

    session: Session
    first: Callable[[], object] = lambda: None
    """What has to work before the store is asked. Raises SecretopsError."""
    name: str = NAME

    def look(self) -> Result:
        self.first()
        seen, now = watched(self.session), self.session.clock()
        if found := [finding.message for one in seen if (finding := one.finding(now))]:
            return attention(
                "; ".join(found),
                "a certificate that nobody renews ends every connection on one day",
                "whoever renews it: the broker's operator, or its issuer (docs/operations/certificates.md)",
            )
        if not seen:
            return ok("none in sight but those that secretops keeps")
        first = min(seen, key=lambda one: one.ends)
        return ok(f"{len(seen)} in sight; the first to end is {first.name}, {first.ends:%Y-%m-%d} ({first.source})")
