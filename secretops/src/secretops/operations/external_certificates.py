"""The certificates that others renew and the stack rests on: what the broker shows, who signs that, and what an issuer
keeps in the cluster. Those that secretops keeps versions of, the engine's decisions watch.

Looks from where it runs, and logs nobody in.
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

NAME = "certificates"
"""What they are called together, where a secret has its name."""

LAST_DAYS = timedelta(days=30)
LAST_SHARE = 1 / 6
"""The end of a life in which a certificate is told, and at most LAST_DAYS: half of the third that whoever renews by
itself has left by then (cert-manager, ACME clients, secretops), so of one that is renewed in time nothing is told."""

UNREADABLE = "its names or extensions can't be read"
ANSWER_SECONDS = 5.0
NAMELESS = "without a name"
LONGEST_NAME = 100
"""Characters that are told of a name which somebody else chose."""

_DER = 2
_TIMES = frozenset({9, 10})
"""OpenSSL's codes for a certificate that is not good yet, or no more: what its own times say."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One certificate in sight. Public."""

    name: str
    """Its subject's common name, or the first host that it is for."""
    source: str
    """Where it was seen."""
    begins: datetime
    ends: datetime
    remedy: str
    wrong: str = ""
    """Why it would not do, whatever the time."""

    @property
    def told_from(self) -> datetime:
        """When its end is near enough to be told."""
        return self.ends - min(LAST_DAYS, (self.ends - self.begins) * LAST_SHARE)

    def finding(self, now: datetime) -> Finding | None:
        """What a person has to do something about."""
        what = f"{self.source}: {self.name}"
        if self.wrong:
            return _finding(Reason.DISTRUSTED, f"{what} is not trusted: {self.wrong}: {self.remedy}")
        if now < self.begins:
            begins = f"{self.begins:%Y-%m-%d %H:%M}"
            return _finding(Reason.DISTRUSTED, f"{what} is good from {begins} UTC on: see to both clocks")
        if now >= self.ends:
            return _finding(Reason.EXPIRED, f"{what} expired {self.ends:%Y-%m-%d %H:%M} UTC: {self.remedy}")
        if now < self.told_from:
            return None
        return _finding(Reason.NEAR_EXPIRY, f"{what} expires {self.ends:%Y-%m-%d %H:%M} UTC: {self.remedy}")


def _finding(reason: Reason, message: str) -> Finding:
    return Finding(reason, Action.NOTIFY, message)


def watched(session: Session) -> tuple[Watched, ...]:
    """Every certificate in sight. Of a broker that does not answer, the CA's file alone: that it doesn't, others tell.

    Raises SecretopsError where the store or the cluster can't be asked.
    """
    found = [*_issued(session), *_of_broker(session)]
    return tuple(dict.fromkeys(found))


def findings(session: Session) -> tuple[Finding, ...]:
    """What of them needs a person. Nothing where they can't be looked at: whoever logs in then fails by the same."""
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
    """What it shows, up to whom `trusted` has. Raises OSError where it does not answer, or not by TLS."""
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
    """Also where the handshake ends without a client's certificate: what the broker shows comes before.

    By Python's inner object: its public methods are of 3.13 and later.
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
    """Of a file of CAs the one that lasts longest: which of them signs the broker's is not known here."""
    if authority is None:
        return
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(Path(authority).read_bytes())
    except (OSError, ValueError):  # whoever logs in tells of it
        return
    yield _watched(
        max(found, key=lambda one: one.not_valid_after_utc),
        authority,
        "put there who signs the broker's certificate from now on",
    )


def _issued(session: Session) -> Iterator[Watched]:
    issued = session.platform.issued_certificate(session.manifest.store)
    if issued is None:
        return
    from secretops.certificates import certificates

    for one in certificates(issued.value["client.crt"])[:1]:
        yield _watched(one, issued.source, f"its issuer has not renewed it: {issued.remedy}")
        return
    now = session.clock()
    yield Watched(
        name="client.crt",
        source=issued.source,
        begins=now,
        ends=now,
        remedy=issued.remedy,
        wrong="no certificate in it",
    )


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
