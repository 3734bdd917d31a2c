"""What an issuer gives is looked at before anybody uses it: each way in which it may be wrong has its words."""

from __future__ import annotations

from datetime import datetime

import pytest
from cryptography import x509

from secretops.certificates import certificates_in, checked, new_key, private_pem, request_of
from secretops.errors import RefusedError
from secretops.issuers import Signed
from tests.unit.signing import CLIENT, DAY, NAME, NOW, SERVER, Holder, made

KEY = new_key()
ROOT = made("root", ca=True, ends=NOW + 3000 * DAY)
INTERMEDIATE = made("clients", by=ROOT, ca=True, ends=NOW + 1000 * DAY)
CHAIN = (INTERMEDIATE.pem, ROOT.pem)
STRANGER = made("clients", ca=True, ends=NOW + 1000 * DAY)


def look(own: Holder | str, chain: tuple[str, ...] = CHAIN) -> tuple[str, datetime]:
    text = own if isinstance(own, str) else own.pem
    return checked(Signed(text, chain), KEY, common_name=NAME, now=NOW)


def test_a_good_one_is_shown_with_its_chain_below_the_root() -> None:
    own = made(by=INTERMEDIATE, key=KEY)

    shown, ends = look(own)

    assert shown == own.pem + INTERMEDIATE.pem
    assert ends == NOW + 30 * DAY
    assert look(own, (INTERMEDIATE.pem,)) == look(own, (*CHAIN, ROOT.pem)) == (shown, ends)


def test_it_ends_when_the_first_of_its_chain_does() -> None:
    soon = made("clients", by=ROOT, ca=True, ends=NOW + DAY)

    assert look(made(by=soon, key=KEY), (soon.pem, ROOT.pem))[1] == NOW + DAY


OLD = made("clients", by=ROOT, ca=True, ends=NOW - DAY)
WRONG: dict[str, tuple[Holder | str, tuple[str, ...]]] = {
    "is no certificate": ("no PEM", CHAIN),
    "is for another key": (made(by=INTERMEDIATE), CHAIN),
    "is for another name": (made("somebody", by=INTERMEDIATE, key=KEY), CHAIN),
    "is a CA's": (made(by=INTERMEDIATE, key=KEY, ca=True), CHAIN),
    "is not for clients alone": (made(by=INTERMEDIATE, key=KEY, usages=(CLIENT, SERVER)), CHAIN),
    "has ended": (made(by=INTERMEDIATE, key=KEY, ends=NOW), CHAIN),
    "is not good yet": (made(by=INTERMEDIATE, key=KEY, begins=NOW + DAY), CHAIN),
    "has ended: a CA of its chain": (made(by=OLD, key=KEY), (OLD.pem, ROOT.pem)),
    "comes without who signed it": (made(by=INTERMEDIATE, key=KEY), ()),
    "is not signed by the chain that came with it": (made(by=INTERMEDIATE, key=KEY), (STRANGER.pem,)),
    "is not signed by the chain that came with it ": (made(by=INTERMEDIATE, key=KEY), (ROOT.pem,)),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_one_is_refused_with_what_is_wrong_and_without_the_key(words: str) -> None:
    with pytest.raises(RefusedError) as refused:
        look(*WRONG[words])

    assert refused.value.what.startswith(f"the certificate that was issued {words.strip()}")
    assert "PRIVATE KEY" not in str(refused.value)


def test_a_chain_whose_end_is_signed_by_a_client_is_none() -> None:
    client = made("clients", by=ROOT)

    with pytest.raises(RefusedError, match="is signed by what is no CA"):
        look(made(by=client, key=KEY), (client.pem, ROOT.pem))


def test_a_request_has_the_name_and_proves_the_key_and_does_not_hold_it() -> None:
    key = new_key()
    text = request_of(key, NAME)
    asked = x509.load_pem_x509_csr(text.encode())

    assert asked.is_signature_valid
    assert [one.value for one in asked.subject] == [NAME]
    assert "PRIVATE" not in text and "PRIVATE KEY" in private_pem(key)


def test_of_a_file_only_its_certificates_are_taken() -> None:
    assert certificates_in(f"{ROOT.pem}\n{private_pem(ROOT.key)}# a note\n") == ROOT.pem
    with pytest.raises(ValueError, match=r".*"):
        certificates_in(private_pem(ROOT.key))
