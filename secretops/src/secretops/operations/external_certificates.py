"""Certificates that secretops does not renew. Reading them needs no login."""

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

# cryptography is slow to import, and `status` rarely needs it.
if TYPE_CHECKING:
    from cryptography import x509

# Name of the row in `status`, and of the check.
NAME = "certificates"

# A certificate is reported in the last LAST_SHARE of its life, at most LAST_DAYS before it expires. Automatic renewal
# (cert-manager, ACME clients, secretops) comes earlier, when a third of the life is left.
LAST_DAYS, LAST_SHARE = timedelta(days=30), 1 / 6

UNREADABLE = "the certificate's names or extensions cannot be read"
ANSWER_SECONDS = 5.0
NAMELESS = "without a name"

# Maximum printed characters of a name.
LONGEST_NAME = 100

# OpenSSL's encoding, and its codes for a certificate that is not yet valid, or has expired.
_DER, _TIMES = 2, frozenset({9, 10})


@dataclass(frozen=True, kw_only=True)
class ExternalCertificate:
    # Common name of the subject, or its first host.
    name: str
    # Where the certificate was found.
    source: str
    begins: datetime
    ends: datetime
    remedy: str
    # Why it is not trusted, apart from its dates.
    wrong: str = ""

    def finding(self, now: datetime) -> Finding | None:
        reason, ends = Reason.DISTRUSTED, f"{self.ends:%Y-%m-%d %H:%M} UTC: {self.remedy}"
        if self.wrong:
            found = f"is not trusted: {self.wrong}: {self.remedy}"
        elif now < self.begins:
            found = f"is not valid before {self.begins:%Y-%m-%d %H:%M} UTC: check both clocks"
        elif now >= self.ends:
            reason, found = Reason.EXPIRED, f"expired {ends}"
        elif now >= self.ends - min(LAST_DAYS, (self.ends - self.begins) * LAST_SHARE):
            reason, found = Reason.NEAR_EXPIRY, f"expires {ends}"
        else:
            return None
        return Finding(reason, Action.NOTIFY, f"{self.source}: {self.name} {found}")


def find(session: Session) -> tuple[ExternalCertificate, ...]:
    """Return the broker's certificate chain, and the client certificate that the platform's issuer renews. If no TLS
    connection succeeds, the longest-lived CA of the CA file replaces the chain. Raises SecretopsError."""
    return tuple(dict.fromkeys([*_issued(session), *_of_broker(session)]))


def findings(session: Session) -> tuple[Finding, ...]:
    """Return the findings about external certificates. If they are unreadable, return none: doctor's check `login`
    reports the reason."""
    with suppress(SecretopsError):
        now = session.clock()
        return tuple(found for one in find(session) if (found := one.finding(now)))
    return ()


def _of_broker(session: Session) -> Iterator[ExternalCertificate]:
    broker = session.manifest.broker
    if not broker.tls or session.platform.remote_command(session.manifest):  # the broker may be unreachable from here
        return
    with suppress(SecretopsError):  # even without secretops' own certificate the broker presents its chain
        broker = session.broker
    try:
        yield from _presented(broker)
    except OSError:
        yield from _last_of(broker.ca_file)


def _presented(broker: Broker) -> Iterator[ExternalCertificate]:
    """Yield the broker's certificate chain, up to a CA in `broker.ca_file`. Raises OSError if TLS fails."""
    source, wrong = f"certificate of {broker.host}:{broker.port}", ""
    try:
        chain = _chain(broker, ssl.create_default_context(cafile=broker.ca_file), "get_verified_chain")
    except ssl.SSLCertVerificationError as error:
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # only to read the certificate; nothing is sent
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        chain = _chain(broker, unchecked, "get_unverified_chain")
        if error.verify_code not in _TIMES:
            wrong = f"{error.verify_message.rstrip('.')}, by {broker.ca_file or 'the system'}"
    for at, one in enumerate(chain):
        if at == 0:
            yield _external(one, source, "renew the certificate at the broker", wrong=wrong)
        else:
            yield _external(one, f"issuer of the {source}", "install a renewed chain at the broker")


def _chain(broker: Broker, context: ssl.SSLContext, which: str) -> list[x509.Certificate]:
    # Works without a client certificate. Uses a private object of ssl, because the public methods need Python 3.13.
    def presented(wrapped: ssl.SSLSocket) -> list[bytes]:
        inner: Any = getattr(wrapped, "_sslobj", None)
        return [one.public_bytes(_DER) for one in getattr(inner, which)() or ()] if inner else []

    with socket.create_connection((broker.host, broker.port), ANSWER_SECONDS) as plain:
        wrapped = context.wrap_socket(plain, server_hostname=broker.host, do_handshake_on_connect=False)
        try:
            wrapped.do_handshake()
        except ssl.SSLCertVerificationError:
            raise
        except OSError:
            if not presented(wrapped):
                raise
        with wrapped:
            found = presented(wrapped)
    from cryptography import x509

    try:
        return [x509.load_der_x509_certificate(one) for one in found]
    except ValueError:
        what = f"{broker.host}:{broker.port}: the certificate of the broker cannot be parsed"
        rule = "a TLS server must present an X.509 certificate"
        remedy = "check the certificate file of the broker, or of a proxy in front of the broker"
        raise UnreachableError(what, rule=rule, remedy=remedy, code="broker-certificate-unreadable") from None


def _last_of(authority: str | None) -> Iterator[ExternalCertificate]:
    # It is unknown which CA of the file signs the broker's certificate.
    if authority is None:
        return
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(Path(authority).read_bytes())
    except (OSError, ValueError):  # a login reports the reason
        return
    last = max(found, key=lambda one: one.not_valid_after_utc)
    yield _external(last, authority, "add the new CA of the broker's certificate to this file")


def _issued(session: Session) -> Iterator[ExternalCertificate]:
    issued = session.platform.issued_certificate(session.manifest.store)
    if issued is None:
        return
    from secretops.certificates import load_certificates

    if found := load_certificates(issued.value["client.crt"]):
        yield _external(found[0], issued.source, f"the issuer has not renewed the certificate: {issued.remedy}")
    else:
        now, name, wrong = session.clock(), "client.crt", "no certificate in it"
        yield ExternalCertificate(
            name=name, source=issued.source, begins=now, ends=now, remedy=issued.remedy, wrong=wrong
        )


def _external(one: x509.Certificate, source: str, remedy: str, *, wrong: str = "") -> ExternalCertificate:
    from secretops.certificates import is_readable

    readable = is_readable(one)
    return ExternalCertificate(
        name=_name_of(one) if readable else NAMELESS,
        source=source,
        begins=one.not_valid_before_utc,
        ends=one.not_valid_after_utc,
        remedy=remedy,
        wrong=wrong or ("" if readable else UNREADABLE),
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
