"""A client certificate that AWS Private CA (a stand-in) signs and secretops renews, at a real mosquitto.

It lets nobody in without one. What the stand-in does not prove of AWS is in tests/real/private_ca.py.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops import certificates
from secretops.engine.decisions import renewal_at
from secretops.engine.state import Version
from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.issuers.aws_private_ca import AwsPrivateCa
from secretops.values import Value
from tests.real.aws_stack import AwsStack
from tests.real.certified import Connecting
from tests.real.mosquitto import start_mosquitto
from tests.real.moto import Aws
from tests.real.private_ca import (
    CERTIFICATE,
    DAYS,
    NAME,
    StrictPrivateCa,
    issuer_of,
    make_signed_stack,
    strict_private_ca,
)

pytestmark = pytest.mark.real
RENEWALS = 2


@dataclass
class Place:
    """A stack, its CA, and its broker."""

    stack: AwsStack
    ca: StrictPrivateCa
    folder: Path

    def found(self) -> Mapping[str, str]:
        """What readers get of the certificate now."""
        return dict(self.stack.labelled("AWSCURRENT", CERTIFICATE))

    def given(self) -> tuple[Mapping[str, str], Value]:
        return self.found(), self.stack.delivered()

    def current(self) -> Version:
        version = self.stack.session().store.versions(CERTIFICATE).current
        assert version
        return version

    def tick(self) -> list[str]:
        """What it could not do."""
        return [str(one.error) for one in self.stack.tick() if one.error]

    def due(self) -> None:
        at = renewal_at(self.current())
        assert at
        self.stack.clock.skip((at - self.stack.clock()).total_seconds() + 1)


@pytest.fixture
def ca(moto_environment: Aws) -> Iterator[StrictPrivateCa]:
    with strict_private_ca(moto_environment) as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, moto_environment: Aws, ca: StrictPrivateCa) -> Iterator[Place]:
    """With a certificate, an admin and the server's user."""
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = start_mosquitto(folder, certifying=True)
    try:
        stack = make_signed_stack(broker, moto_environment, ca)
        stack.rotate(CERTIFICATE)  # first: whoever logs in shows it
        stack.put("broker-admin", dict(broker.admin))
        made = Place(stack, ca, tmp_path)
        assert made.tick() == []
        yield made
    finally:
        broker.stop()


def request() -> str:
    return certificates.request_of(certificates.new_key(), NAME)


def test_it_is_for_this_client_alone_and_for_as_long_as_was_asked(place: Place) -> None:
    own, intermediate = x509.load_pem_x509_certificates(place.found()["client.crt"].encode())
    assert [one.value for one in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [NAME]
    usages = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    own.verify_directly_issued_by(intermediate)
    assert own.not_valid_after_utc - datetime.now(UTC) < timedelta(days=DAYS)
    assert place.current().expires == own.not_valid_after_utc
    assert place.current().verified, "the broker has taken it"
    (asked,) = place.ca.asked
    key = "".join(place.found()["client.key"].splitlines()[1:-1])
    assert key[:40] not in str(asked)


@pytest.mark.slow
def test_renewals_by_the_tick_function_under_load_fail_no_connect(place: Place) -> None:
    with Connecting(place.stack.manifest.broker, place.folder, place.given) as load:
        load.caught_up()
        seen = {place.current().id}
        for _ in range(RENEWALS):
            place.due()
            said = place.stack.tick_function()
            assert any(text.startswith("published") for text in said[CERTIFICATE]), said
            seen.add(place.current().id)
            load.caught_up()
    assert load.failures == []
    assert len(seen) == RENEWALS + 1 and len(load.certificates) == RENEWALS + 1


def test_what_is_not_ready_yet_is_asked_for_until_it_is(ca: StrictPrivateCa) -> None:
    ca.late = 1
    assert "BEGIN CERTIFICATE" in AwsPrivateCa(issuer_of(ca)).sign(request()).certificate
    assert ca.late == 0


def test_a_ca_of_an_rsa_key_signs_a_key_of_ours(moto_environment: Aws) -> None:
    with strict_private_ca(moto_environment, key="RSA_2048") as ca:
        key = certificates.new_key()
        signed = AwsPrivateCa(issuer_of(ca)).sign(certificates.request_of(key, NAME))
        certificates.checked(signed, key, common_name=NAME, now=datetime.now(UTC))
    assert [asked["SigningAlgorithm"] for asked in ca.asked] == ["SHA256WITHRSA"]


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        ("AccessDeniedException", StoreError, r"may not acm-pca:IssueCertificate on arn:.*pulumi up grants it"),
        ("ThrottlingException", UnreachableError, r"can't be reached .* the next tick asks again"),
        ("ValidationException", StoreError, r"does not sign what was asked .* correct issuer.days"),
    ],
)
def test_what_aws_refuses_is_told_by_its_name_alone(
    ca: StrictPrivateCa, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[SecretopsError], says: str
) -> None:
    monkeypatch.setattr("secretops.issuers.aws_private_ca.ATTEMPTS", 1)
    ca.fails_with = code
    with pytest.raises(kind, match=f"(?s){says}") as refused:
        AwsPrivateCa(issuer_of(ca)).sign(request())
    assert "as AWS says it" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__


def test_a_ca_that_ends_sooner_is_disabled_or_is_not_there_is_told(moto_environment: Aws) -> None:
    with strict_private_ca(moto_environment, days=DAYS) as ca:
        with pytest.raises(StoreError, match="ends before the CA's own"):
            AwsPrivateCa(issuer_of(ca, days=DAYS + 1)).sign(request())
        ca.disable()
        with pytest.raises(StoreError, match="does not sign now"):
            AwsPrivateCa(issuer_of(ca)).sign(request())
        away = issuer_of(ca).model_copy(update={"arn": f"{ca.arn[:-4]}0000"})
        with pytest.raises(StoreError, match="there is no CA arn:"):
            AwsPrivateCa(away).sign(request())


@pytest.mark.slow
def test_nobody_who_answers_leaves_the_one_in_use(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    before = place.current()
    monkeypatch.setattr("secretops.issuers.aws_private_ca.ATTEMPTS", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_ACM_PCA", f"http://127.0.0.1:{closed.getsockname()[1]}")
        place.due()
        (error,) = place.tick()
    assert "AWS Private CA can't be reached" in error
    assert place.current() == before and place.stack.session().store.versions(CERTIFICATE).pending is None
    monkeypatch.delenv("AWS_ENDPOINT_URL_ACM_PCA")
    assert place.tick() == []
    assert place.current().id != before.id
