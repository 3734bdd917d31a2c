"""A client certificate that AWS Private CA (a stand-in) signs and secretops renews, at a mosquitto that requires one.

tests/real/private_ca.py lists what the stand-in does not prove of AWS.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from secretops import certificates
from secretops.errors import SecretopsError, StoreError, UnreachableError
from secretops.platforms.aws.private_ca import AwsPrivateCa
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


@pytest.fixture
def ca(moto_environment: Aws) -> Iterator[StrictPrivateCa]:
    with strict_private_ca(moto_environment) as made:
        yield made


def request() -> str:
    return certificates.signing_request(certificates.new_key(), NAME)


def test_certificate_is_for_this_client_alone(tmp_path: Path, moto_environment: Aws, ca: StrictPrivateCa) -> None:
    broker = start_mosquitto(tmp_path, certifying=True)
    try:
        stack = make_signed_stack(broker, moto_environment, ca)
        stack.rotate(CERTIFICATE)
        found, version = stack.labeled("AWSCURRENT", CERTIFICATE), stack.session().store.versions(CERTIFICATE).current
    finally:
        broker.stop()
    own, intermediate = x509.load_pem_x509_certificates(found["client.crt"].encode())
    assert [one.value for one in own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [NAME]
    usages = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    own.verify_directly_issued_by(intermediate)
    assert own.not_valid_after_utc - datetime.now(UTC) < timedelta(days=DAYS)
    assert version and version.expires == own.not_valid_after_utc
    assert version.verified, "the broker has taken it"
    (requested,) = ca.requested
    key = "".join(found["client.key"].splitlines()[1:-1])
    assert key[:40] not in str(requested)


def test_certificate_is_polled_until_it_is_ready(ca: StrictPrivateCa) -> None:
    ca.late = 1
    assert "BEGIN CERTIFICATE" in AwsPrivateCa(issuer_of(ca)).sign(request()).certificate
    assert ca.late == 0


@pytest.mark.parametrize(
    ("code", "kind"), [("AccessDeniedException", StoreError), ("ThrottlingException", UnreachableError)]
)
def test_refusal_of_aws_is_reported_by_its_name_only(
    ca: StrictPrivateCa, monkeypatch: pytest.MonkeyPatch, code: str, kind: type[SecretopsError]
) -> None:
    monkeypatch.setattr("secretops.platforms.aws.api.ATTEMPTS", 1)
    ca.fails_with = code
    with pytest.raises(kind) as refused:
        AwsPrivateCa(issuer_of(ca)).sign(request())
    assert "as AWS says it" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__suppress_context__


def test_expiring_disabled_or_missing_ca_is_reported(moto_environment: Aws) -> None:
    with strict_private_ca(moto_environment, days=DAYS) as ca:
        with pytest.raises(StoreError):
            AwsPrivateCa(issuer_of(ca, days=DAYS + 1)).sign(request())
        ca.disable()
        with pytest.raises(StoreError):
            AwsPrivateCa(issuer_of(ca)).sign(request())
        away = issuer_of(ca).model_copy(update={"arn": f"{ca.arn[:-4]}0000"})
        with pytest.raises(StoreError):
            AwsPrivateCa(away).sign(request())
