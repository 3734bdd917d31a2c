"""Vault is spoken to by TLS, and its certificate is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.kubernetes.objects import of_kind
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.vault.access import STORE

PROVIDER = "pulumi:providers:vault"


def _by_tls(address: Any) -> bool:
    return isinstance(address, str) and address.startswith("https://")


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "is not by TLS: secrets would cross the network in plain text; write https://"
    if not any(plan.of_type(PROVIDER)):
        yield Finding(plan.urn, "Vault has no provider of the stack's: variables of whoever deploys say how; add one")
    for provider in plan.of_type(PROVIDER):
        yield from judge(provider, at(provider.properties, "address"), _by_tls, "the address of Vault", wrong)
        yield from judge(
            provider,
            at(provider.properties, "skipTlsVerify"),
            lambda said: said in (False, "false"),
            "whether its certificate is looked at",
            "is left to a variable of whoever deploys, or off; set skip_tls_verify to false",
        )
    for store in of_kind(plan, "SecretStore"):
        vault = at(store.properties, "spec", "provider", "vault")
        if vault is not None:
            yield from judge(store, at(vault, "server"), _by_tls, "the address of Vault", wrong)
    for method in plan.of_type("vault:jwt/authBackend:AuthBackend"):
        issuer = at(method.properties, "oidcDiscoveryUrl")
        yield from judge(method, issuer, _by_tls, "the address of who signs the tokens", wrong)
    if at(plan.manifest, "store", "kind") == "vault":
        address = at(plan.manifest, "store", "address")
        yield from judge(plan, address, _by_tls, "the address of Vault in the manifest", wrong)


RULE = Rule(
    name="vault-is-reached-by-tls",
    sentence="Whoever deploys, reads or rotates speaks to Vault by TLS.",
    controls=(
        Control(Framework.SOC_2, "CC6.7", "secrets are encrypted on every way to and from Vault"),
        Control(Framework.PCI_DSS, "4.2.1", "strong cryptography, and certificates that are looked at"),
        Control(Framework.PCI_DSS, "8.3.2", "no credential is sent in plain text"),
        Control(Framework.HIPAA, "164.312(e)(2)(ii)", "secrets are encrypted while they are sent"),
        Control(Framework.GDPR, "32(1)(a)", "what is sent is encrypted"),
    ),
    limitation="Which versions and ciphers of TLS the server takes: its own configuration says so.",
    applies=lambda plan: any(plan.of_type(PROVIDER, STORE)),
    across=_look,
)
