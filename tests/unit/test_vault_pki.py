"""Vault's CA for client certificates, as the program asks for it. That it issues them is for tests/stacks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.unit.harness import Deployed, ca_file
from tests.unit.vault_stack import (
    by_agent,
    for_pods,
    inputs,
    vaults,
    with_every_option,
    wrong,
)

ASKS = ", client_certificate: true"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("pki"))


def of_pki(deployed: Deployed) -> list[Any]:
    return [one for one in vaults(deployed) if one.type.startswith("vault:pkiSecret/")]


def test_every_key_is_made_in_vault_and_never_leaves_it() -> None:
    assert of_pki(by_agent()) == [], "a stack that asks for none has none"
    types = {one.name: one.inputs["type"] for one in of_pki(with_every_option()) if "type" in one.inputs}

    assert types == {"pki-request": "internal", "root-certificate": "internal"}


def test_the_root_signs_one_intermediate_which_signs_no_further_ca() -> None:
    made = with_every_option()

    assert inputs(made, "root-mount")["path"] == "coreflux-mcp-prod-root"
    assert inputs(made, "pki-mount")["path"] == "coreflux-mcp-prod-pki"
    signs = inputs(made, "root-signs")
    assert (signs["backend"], signs["maxPathLength"]) == ("coreflux-mcp-prod-root", 0)
    assert int(signs["ttl"]) < int(inputs(made, "root-certificate")["ttl"])
    assert "stand-in's certificate" in inputs(made, "pki-signed")["certificate"]


def test_a_mount_is_changed_by_one_at_a_time_from_its_urls_to_what_it_signs() -> None:
    made = with_every_option().resources
    order = ("root-mount", "root-urls", "root-crl", "root-certificate", "root-signs", "pki-signed", "pki-client")
    for first, then in [*pairwise(order), ("pki-crl", "pki-request"), ("pki-request", "root-signs")]:
        assert first in made[then].depends_on, (first, then)


def test_what_is_issued_is_for_one_client_and_for_no_server() -> None:
    role = inputs(with_every_option(), "pki-client")

    assert role["allowedDomains"] == ["coreflux-mcp-prod"]
    assert role["allowBareDomains"] is True
    for wider in ("Subdomains", "GlobDomains", "AnyName", "Localhost", "IpSans", "WildcardCertificates"):
        assert role[f"allow{wider}"] is False
    assert (role["clientFlag"], role["serverFlag"]) == (True, False)
    assert (role["codeSigningFlag"], role["emailProtectionFlag"]) == (False, False)
    assert (role["keyUsages"], role["extKeyUsages"]) == (["DigitalSignature"], ["ClientAuth"])
    assert role["ttl"] == role["maxTtl"] == str(14 * 86400)


def test_somebody_outside_is_given_the_request_and_then_gives_the_certificate(pem: Path) -> None:
    waiting = for_pods(", pki: {signed_by: outside}", broker=ASKS)
    signed = for_pods(f', pki: {{signed_by: outside, certificate_file: "{pem}"}}', broker=ASKS)

    assert "stand-in's request" in waiting.exports["csr"]
    assert "store.pki.certificate_file" in waiting.exports["next"]
    assert "store.pki.certificate_file" not in signed.exports["next"]
    assert "pki-signed" not in waiting.resources
    assert inputs(signed, "pki-signed")["certificate"] == pem.read_text()
    assert not {"root-mount", "root-certificate", "root-signs"} & (waiting.resources.keys() | signed.resources.keys())
    assert wrong(waiting) == wrong(signed) == []
