"""Watches certificates that others renew: the broker's chain, and what an issuer keeps in the cluster.

The engine's decisions watch those with versions in the store. Checks from where it runs, without a login.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secretops.engine.decisions import Action, Finding, Reason
from secretops.errors import SecretopsError, UnreachableError
from secretops.manifest import Broker
from secretops.operations.session import Session

# cryptography is imported where a certificate is read: it takes long to load, and `status` mostly needs none.
if TYPE_CHECKING:
    from cryptography import x509

# The row and the check of them all.
NAME = "certificates"

# The last share of a life in which a certificate is reported, and at most LAST_DAYS. Automatic renewal (cert-manager,
# ACME clients, secretops) comes before: with a third of the life left.
LAST_DAYS, LAST_SHARE = timedelta(days=30), 1 / 6

UNREADABLE = "its names or extensions can't be read"
ANSWER_SECONDS = 5.0
NAMELESS = "without a name"

# Characters that are printed of a name.
LONGEST_NAME = 100

# OpenSSL's encoding, and its codes for a certificate that is not valid yet, or has expired.
_DER, _TIMES = 2, frozenset({9, 10})


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One external certificate. Public."""

    # Its subject's common name, or its first host.
    name: str
    # Where it was seen.
    source: str
    begins: datetime
    ends: datetime
    remedy: str
    # Why it is not trusted, whatever the time.
    wrong: str = ""

    def finding(self, now: datetime) -> Finding | None:
        """Return what needs a person, or None."""
        reason, ends = Reason.DISTRUSTED, f"{self.ends:%Y-%m-%d %H:%M} UTC: {self.remedy}"
        if self.wrong:
            found = f"is not trusted: {self.wrong}: {self.remedy}"
        elif now < self.begins:
            found = f"is good from {self.begins:%Y-%m-%d %H:%M} UTC on: see to both clocks"
        elif now >= self.ends:
            reason, found = Reason.EXPIRED, f"expired {ends}"
        elif now >= self.ends - min(LAST_DAYS, (self.ends - self.begins) * LAST_SHARE):
            reason, found = Reason.NEAR_EXPIRY, f"expires {ends}"
        else:
            return None
        return Finding(reason, Action.NOTIFY, f"{self.source}: {self.name} {found}")


def watched(session: Session) -> tuple[Watched, ...]:
    """Return every external certificate; of a broker that does not answer the CA's file alone.

    Raises SecretopsError if the store or the cluster does not answer.
    """
    return tuple(dict.fromkeys([*_issued(session), *_of_broker(session)]))


def findings(session: Session) -> tuple[Finding, ...]:
    """Return what needs a person; nothing if they can't be read: a login then fails for the same reason."""
    with suppress(SecretopsError):
        now = session.clock()
        return tuple(found for one in watched(session) if (found := one.finding(now)))
    return ()


def _of_broker(session: Session) -> Iterator[Watched]:
    broker = session.manifest.broker
    if not broker.tls or session.platform.remote_command(session.manifest):  # it may be out of reach from here
        return
    with suppress(SecretopsError):  # the certificate that is shown may be missing; without it there is more to see
        broker = session.broker
    beside = Path(broker.certificate_file).with_name("ca.crt") if broker.certificate_file else None
    readers = str(beside) if beside and beside.exists() else broker.ca_file
    for trusted in dict.fromkeys((broker.ca_file, readers)):
        try:
            yield from _shown(broker, trusted)
        except OSError:
            yield from _last_of(trusted)


def _shown(broker: Broker, trusted: str | None) -> Iterator[Watched]:
    """Yield the broker's chain up to a CA in `trusted`. Raises OSError without an answer by TLS."""
    source, wrong = f"what {broker.host}:{broker.port} shows", ""
    try:
        chain = _chain(broker, ssl.create_default_context(cafile=trusted), "get_verified_chain")
    except ssl.SSLCertVerificationError as error:
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE  # to look at it; nothing is sent
        chain = _chain(broker, unchecked, "get_unverified_chain")
        wrong = (
            "" if error.verify_code in _TIMES else f"{error.verify_message.rstrip('.')}, by {trusted or 'the system'}"
        )
    for at, one in enumerate(chain):
        what = source if at == 0 else f"who signs {source}"
        remedy = "have it renewed at the broker" if at == 0 else "the broker needs another one above its own"
        yield _watched(one, what, remedy, wrong=wrong if at == 0 else "")


def _chain(broker: Broker, context: ssl.SSLContext, which: str) -> list[x509.Certificate]:
    """Return the broker's chain, also if it refuses the handshake without a client's certificate.

    Uses Python's inner object: the public methods are of 3.13 and later.
    """
    with socket.create_connection((broker.host, broker.port), ANSWER_SECONDS) as plain:
        wrapped = context.wrap_socket(plain, server_hostname=broker.host, do_handshake_on_connect=False)
        try:
            wrapped.do_handshake()
        except ssl.SSLCertVerificationError:
            raise
        except OSError:
            if not _given(wrapped, which):
                raise
        with wrapped:
            shown = _given(wrapped, which)
    from cryptography import x509

    try:
        return [x509.load_der_x509_certificate(one) for one in shown]
    except ValueError:
        raise UnreachableError(
            f"{broker.host}:{broker.port} shows what is no certificate",
            rule="it is looked at from where secretops runs",
            remedy="see its certfile; what stands between?",
        ) from None


def _given(wrapped: ssl.SSLSocket, which: str) -> list[bytes]:
    inner: Any = getattr(wrapped, "_sslobj", None)
    return [one.public_bytes(_DER) for one in getattr(inner, which)() or ()] if inner else []


def _last_of(authority: str | None) -> Iterator[Watched]:
    """Yield the CA of a file that lasts longest: which of them signs the broker's is unknown."""
    if authority is None:
        return
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(Path(authority).read_bytes())
    except (OSError, ValueError):  # whoever logs in tells of it
        return
    last = max(found, key=lambda one: one.not_valid_after_utc)
    yield _watched(last, authority, "put there who signs the broker's certificate from now on")


def _issued(session: Session) -> Iterator[Watched]:
    issued = session.platform.issued_certificate(session.manifest.store)
    if issued is None:
        return
    from secretops.certificates import load_certificates

    for one in load_certificates(issued.value["client.crt"])[:1]:
        yield _watched(one, issued.source, f"its issuer has not renewed it: {issued.remedy}")
        return
    now, name, wrong = session.clock(), "client.crt", "no certificate in it"
    yield Watched(name=name, source=issued.source, begins=now, ends=now, remedy=issued.remedy, wrong=wrong)


def _watched(one: x509.Certificate, source: str, remedy: str, *, wrong: str = "") -> Watched:
    from secretops.certificates import is_readable

    return Watched(
        name=_name_of(one) if is_readable(one) else NAMELESS,
        source=source,
        begins=one.not_valid_before_utc,
        ends=one.not_valid_after_utc,
        remedy=remedy,
        wrong=wrong or ("" if is_readable(one) else UNREADABLE),
    )


def _name_of(one: x509.Certificate) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    names = [str(each.value) for each in one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    with suppress(x509.ExtensionNotFound):
        others = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += others.get_values_for_type(x509.DNSName)
    text = names[0] if names else one.subject.rfc4514_string()
    return "".join(each if each.isprintable() else "?" for each in text)[:LONGEST_NAME] or NAMELESS
