"""External Secrets reads as a service account that the cluster vouches for, and by no key that somebody keeps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.kubernetes.objects import of_kind
from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

_KINDS = ("SecretStore", "ClusterSecretStore")


def _keys(entry: Any) -> Iterator[str]:
    """Every key, at any depth."""
    if isinstance(entry, Mapping):
        yield from entry
        for inner in entry.values():
            yield from _keys(inner)
    elif isinstance(entry, list):
        for inner in entry:
            yield from _keys(inner)


def _as_an_account(provider: Any) -> bool:
    keys = {*_keys(provider)}
    return "serviceAccountRef" in keys and not any(re.search(r"(?i)secret(access)?(key)?ref$", key) for key in keys)


def _look(plan: Plan) -> Iterator[Finding]:
    for one in of_kind(plan, "ClusterSecretStore"):
        yield Finding(one.urn, "is for every namespace: the stack has one; make it a SecretStore")
    for one in of_kind(plan, *_KINDS):
        yield from judge(
            one,
            at(one.properties, "spec", "provider"),
            _as_an_account,
            "what External Secrets reads by",
            "is a key that lies in the cluster: name a serviceAccountRef, whose identity the cluster vouches for",
        )


RULE = Rule(
    name="kubernetes-copying-has-no-key",
    sentence="External Secrets reads as a service account of the namespace, and by no stored key.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "there is no credential for the store that has to be kept and rotated"),
        Control(Framework.PCI_DSS, "8.6.2", "no key of an account is in a configuration"),
        Control(Framework.HIPAA, "164.312(d)", "who reads the store proves who it is by a token that ends"),
        Control(Framework.GDPR, "32(1)(b)", "a copy of the cluster's objects has no key for the store"),
    ),
    limitation="Who may make a token for that account: whoever has the verb create on its subresource token.",
    applies=lambda plan: any(of_kind(plan, *_KINDS)),
    across=_look,
)
