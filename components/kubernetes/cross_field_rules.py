from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..core.naming import CERTIFICATE_FILES
from ..settings.problems import Problem
from ..settings.remote_constraints import LENGTHEN, out_of_reach
from ..settings.section import StoreSection
from ..settings.sections import DeclaredSecret, OutsideBroker, OwnedAgent, Rotation
from .pod_args import CERT_MANAGER, CHANGE_OVER, EVERYWHERE
from .settings import KubernetesServer

# Maximum time until a pod has a new value, in minutes and seconds, by store. With a short grace period, External
# Secrets polls each minute (operators.py).
TO_A_POD = {"kubernetes": ("two", 120), "aws": ("three", 180), "azure": ("three", 180), "vault": ("three", 180)}

# The same time for Vault's agent. It polls every 30 s, but while a secret of the server has no value, its pauses grow
# to five minutes (OpenBao 2.7; docs/adr/0011).
BY_AN_AGENT = ("six", 360)


def cross_field_rules(server: KubernetesServer, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    store, broker, rotation = parsed.get("store"), parsed.get("broker"), parsed.get("rotation")
    yield from out_of_reach(
        "server kubernetes", broker, "the stack copies the file into a ConfigMap that the pods read", runs="pod"
    )
    if server.certificate_issuer and isinstance(broker, OutsideBroker) and not broker.client_certificate:
        yield Problem(
            "server.certificate_issuer: without broker.client_certificate",
            "an issuer requires a broker that checks client certificates",
            "if the broker checks them, write broker.client_certificate: true; else remove server.certificate_issuer",
            code="issuer-without-certificate",
        )
    issuer = server.certificate_issuer
    if issuer and issuer.group == CERT_MANAGER and issuer.kind not in ("Issuer", "ClusterIssuer"):
        yield Problem(
            f"server.certificate_issuer.kind: {issuer.kind} with group {CERT_MANAGER}",
            "an issuer in this group must be of kind Issuer or ClusterIssuer",
            "write kind: Issuer or ClusterIssuer; for an external issuer write the group that kubectl api-resources "
            "shows",
            code="unknown-issuer-kind",
        )
    for at, one in enumerate(server.tolerations):
        if (one.operator == "Exists" and one.value is not None) or (one.operator == "Equal" and not one.key):
            yield Problem(
                f"server.tolerations.{at}: operator {one.operator} "
                + ("with a value" if one.operator == "Exists" else "without a key"),
                "operator Equal requires a key, and operator Exists must have no value",
                "to tolerate any value, write operator: Exists and no value; otherwise write key and value",
                code="invalid-toleration",
            )
    if isinstance(broker, OutsideBroker):
        yield from _outside_of("broker_cidrs", server.broker_cidrs, "broker.host", broker.host)
    if store and store.kind == "vault":
        address = urlsplit(store.address).hostname or ""
        yield from _outside_of("vault_cidrs", server.vault_cidrs, "store.address", address)
    yield from _of_files(parsed.get("secrets", {}))
    if store and store.kind != "vault":
        if server.reference:
            yield _for_vault("server.reference", f"server.reference: {server.reference} with store {store.kind}")
        if server.vault_cidrs != EVERYWHERE:
            yield _for_vault("server.vault_cidrs", f"server.vault_cidrs: with store {store.kind}")
    if isinstance(parsed.get("agent"), OwnedAgent) and server.copilot_cidrs == ():
        yield Problem(
            "server.copilot_cidrs: [] with agent.kind owned",
            "the rotator must reach api.digitalocean.com and the agent, and [] allows no address",
            "remove server.copilot_cidrs: by default all public addresses are allowed; or write the address "
            "of your proxy in server.copilot_cidrs",
            code="agent-unreachable",
        )
    if store and rotation:
        yield from _too_soon(server, store, rotation)


def _for_vault(key: str, what: str) -> Problem:
    return Problem(what, f"{key} requires store vault", f"remove {key}", code="key-for-other-store")


def _outside_of(key: str, cidrs: Iterable[str], where: str, host: str) -> Iterator[Problem]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if not any(address in ipaddress.ip_network(cidr) for cidr in cidrs):
        network = ipaddress.ip_network(host)
        yield Problem(
            f"server.{key}: does not contain {host}",
            f"server.{key} must contain the address in {where}: the pods' network policy blocks other addresses",
            f"add {network} to server.{key}, or a larger network that contains it",
            code="listener-missing",
        )


def _of_files(secrets: Mapping[str, DeclaredSecret]) -> Iterator[Problem]:
    for name, secret in secrets.items():
        for field in secret.fields:
            if f"{name}.{field}" in CERTIFICATE_FILES:
                yield Problem(
                    f"secrets.{name}: the file name of its field {field} would be {name}.{field}",
                    "each file name must be unique, and the server's client certificate uses this one",
                    "rename the secret or its field",
                    code="file-name-taken",
                )


def _too_soon(server: KubernetesServer, store: StoreSection, rotation: Rotation) -> Iterator[Problem]:
    if store.kind not in TO_A_POD:
        return
    by_an_agent = store.kind == "vault" and server.reference != "SyncedKey"
    minutes, seconds = BY_AN_AGENT if by_an_agent else TO_A_POD[store.kind]
    if rotation.grace_seconds < seconds + CHANGE_OVER:
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds} with store {store.kind}",
            f"rotation.grace_seconds must be at least {seconds + CHANGE_OVER}: a pod receives a new value "
            f"within {minutes} minutes, then reconnects",
            LENGTHEN.format(seconds + CHANGE_OVER),
            code="grace-too-short",
        )
