"""The order of the steps of a certificate's renewal, on the real store. Issuer and broker are stand-ins that can
refuse."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from secretops.certificates import SignedCertificate
from secretops.engine.renewal import Renewal
from secretops.engine.state import Version, Versions
from secretops.errors import RefusedError, StoreError, UnreachableError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import rotators
from secretops.platforms.dotenv.store import DotenvVersionStore
from secretops.platforms.vault.location import VaultIssuer
from secretops.values import Value
from tests.real.stack import Stack, make_stack
from tests.unit.signing import NAME, made

LIFE = timedelta(days=30)


@dataclass
class Signer:
    """A CA in this process, and a broker that accepts its certificates. `refuses` makes either refuse."""

    stack: Stack
    refuses: set[str] = field(default_factory=set)
    names: str = NAME
    requests: int = 0
    attempts: list[tuple[str, Value]] = field(default_factory=list)

    def sign(self, request: str) -> SignedCertificate:
        self.requests += 1
        if "sign" in self.refuses:
            raise UnreachableError("sealed", code="test")
        key = x509.load_pem_x509_csr(request.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        now = self.stack.clock()
        begins, ends = now - timedelta(seconds=30), now + LIFE
        root = made("root", ca=True, begins=begins, ends=ends)
        return SignedCertificate(made(self.names, by=root, key=key, begins=begins, ends=ends).pem, (root.pem,))

    def prove(self, version: str, value: Value) -> None:
        self.attempts.append((version, value))
        if "prove" in self.refuses:
            raise RefusedError("the broker refuses it", code="test")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


@pytest.fixture
def signer(stack: Stack) -> Signer:
    return Signer(stack)


def renewal(signer: Signer, *, seconds: int = 0) -> Renewal:
    """Return a renewal. `seconds` is the lifetime in the issuer's settings."""
    session = signer.stack.session()
    issuer = VaultIssuer(mount="pki", role="client", common_name=NAME, seconds=seconds) if seconds else None
    return Renewal(
        session.secret("client-cert").model_copy(update={"issuer": issuer}), common_name=NAME,
        store=session.store, issuer=signer, authority=lambda: "the broker's CA", prove=signer.prove,
        journal=session.journal, clock=signer.stack.clock,
    )  # fmt: skip


def versions_of(stack: Stack) -> Versions:
    return stack.session().store.versions("client-cert")


def value(stack: Stack, version: Version) -> Value:
    return stack.session().store.read("client-cert", version.id, purpose="test")


def test_readers_get_the_certificate_that_the_broker_accepted(stack: Stack, signer: Signer) -> None:
    version = renewal(signer).advance()
    assert signer.attempts == [(version.id, value(stack, version))]
    own = x509.load_pem_x509_certificates(value(stack, version)["client.crt"].encode())[0]
    assert versions_of(stack).current and version.expires == own.not_valid_after_utc
    assert value(stack, version)["ca.crt"] == "the broker's CA"


def test_one_that_the_broker_refuses_stays_pending_and_is_shown_again(stack: Stack, signer: Signer) -> None:
    before = renewal(signer).advance()
    signer.refuses = {"prove"}
    with pytest.raises(RefusedError):
        renewal(signer).advance()
    pending = versions_of(stack).pending
    current = versions_of(stack).current
    assert pending and current and current.id == before.id
    signer.refuses = set()
    assert renewal(signer).advance().id == pending.id
    assert signer.requests == 2, "no third one is requested"


def test_one_that_was_pending_until_it_was_due_is_thrown_away(stack: Stack, signer: Signer) -> None:
    signer.refuses = {"prove"}
    with pytest.raises(RefusedError):
        renewal(signer).advance()
    old = versions_of(stack).pending
    signer.refuses = set()
    stack.clock.skip(LIFE.total_seconds() * 2 / 3 + 1)
    version = renewal(signer).advance()
    assert old and version.id != old.id and version.expires and version.expires > stack.clock() + LIFE / 2
    assert [one.id for one in versions_of(stack).all] == [version.id]


def test_pending_certificate_is_discarded_when_its_settings_changed(stack: Stack, signer: Signer) -> None:
    signer.refuses = {"prove"}
    for seconds in (86400, 86400, 3600):
        with pytest.raises(RefusedError):
            renewal(signer, seconds=seconds).advance()
    assert signer.requests == 2, "the same settings make no other one"
    signer.refuses = set()
    assert renewal(signer, seconds=3600).advance().id == signer.attempts[-2][0] == signer.attempts[-1][0]


@pytest.mark.parametrize("act", [Stack.tick, lambda stack: stack.rotate("client-cert")])
def test_certificate_without_a_declared_field_is_replaced(
    stack: Stack, signer: Signer, monkeypatch: pytest.MonkeyPatch, act: Callable[[Stack], object]
) -> None:
    monkeypatch.setattr(rotators, "open_issuer", lambda *_: signer)
    monkeypatch.setattr(rotators, "prove", lambda *_: None)
    monkeypatch.setattr(rotators, "authority_of", lambda _: "the broker's CA")
    issuer = VaultIssuer(mount="pki", role="client", common_name=NAME, seconds=86400)
    for fields in (("client.crt", "client.key"), ("ca.crt", "client.crt", "client.key")):
        update = {"issuer": issuer, "fields": fields}
        secret = stack.manifest.secret("client-cert").model_copy(update=update)
        stack.manifest = stack.manifest.model_copy(update={"secrets": (secret,)})
        act(stack)
    stack.tick()
    assert signer.requests == 2 and (stack.root / "certs" / "ca.crt").read_text() == "the broker's CA"


def test_lost_lease_requests_no_signature(stack: Stack, signer: Signer) -> None:
    followed = StoreError("somebody has followed us", code="test")
    with (
        mock.patch.object(DotenvVersionStore, "confirm", side_effect=followed),
        pytest.raises(StoreError, match="followed"),
    ):
        renewal(signer).advance()
    assert signer.requests == 0


def test_after_it_is_retired_the_old_key_is_nowhere(stack: Stack, signer: Signer) -> None:
    old = renewal(signer).advance()
    key = value(stack, old)["client.key"]
    renewal(signer).advance()
    previous = versions_of(stack).previous
    assert previous and previous.id == old.id
    renewal(signer).retire(previous)
    assert [one for one in stack.root.rglob("*") if one.is_file() and key.strip() in one.read_text()] == []
    assert versions_of(stack).previous and not any(one.id == old.id for one in versions_of(stack).living)
