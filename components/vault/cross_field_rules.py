"""Cross-field rules of a Vault store. Imports no SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..settings.problems import Problem
from ..settings.remote_constraints import fetched_too_late, not_fetched, unreadable_certificates
from ..settings.sections import EmbeddedBroker, OutsideBroker
from ..settings.validation_errors import A_SECTION
from .settings import VaultPki, VaultStore

METHODS = ("approle", "jwt", "kubernetes")

# Declared secrets. A path has at most 64 entries of custom metadata. The lease's path has one for each current secret,
# and for each removed secret until its purge (secretops.platforms.vault.version_metadata). Every stack has five.
MOST_SECRETS = 55


def cross_field_rules(store: VaultStore, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    server: Any = parsed.get("server")
    secrets = parsed.get("secrets", {})
    for key in (*METHODS, "pki"):  # an empty section would have the same meaning as a missing one
        if key in store.model_fields_set and getattr(store, key) is None:
            form = "issuer: and what else it has, below it" if key == "jwt" else f"{key}: {{}}"
            yield Problem(f"store.{key}: nothing", A_SECTION, f"write {form}; or take it out", code="section-empty")
    for key, path, of in (
        ("ca_file", store.ca_file, "by which the Vault server is known"),
        ("jwt.ca_file", store.jwt and store.jwt.ca_file, "by which Vault knows the issuer"),
        ("pki.certificate_file", store.pki and store.pki.certificate_file, "of the intermediate"),
    ):
        rule = f"a PEM file of certificates {of}: it is read here"
        yield from unreadable_certificates(f"store.{key}", path, rule, "put it there, or name another") if path else ()
    kind = server.kind if server else ""
    methods = [method for method in METHODS if getattr(store, method)]
    if len(methods) > 1:
        yield Problem(
            f"store: {' and '.join(methods)}",
            "server and rotator must log in by only one method",
            "keep one method; the default is kubernetes in a cluster, and approle elsewhere",
            code="one-login-method",
        )
    elif methods and kind:
        yield from _of_login(store, kind)
    if store.pki:
        yield from _of_pki(store.pki, parsed.get("broker"))
    if len(secrets) > MOST_SECRETS:
        yield Problem(
            f"secrets: {len(secrets)} secrets with store vault",
            f"at most {MOST_SECRETS}: the index of secrets is one document, whose size is limited",
            "combine those that belong together into one secret with several fields",
            code="too-many-secrets",
        )
    if server and not server.is_remote:
        yield from fetched_too_late(parsed.get("rotation"), "store vault and server local")
        yield from not_fetched(secrets, "store vault and server local", "write readers: [rotator], or take it out")
    if kind == "kubernetes" and server.reference != "SyncedKey":
        remedy = "write readers: [rotator], or reference: SyncedKey in the section server"
        yield from not_fetched(secrets, "store vault and files of its agent", remedy)
        if server.certificate_issuer:
            yield Problem(
                "server.certificate_issuer: with files of Vault's agent",
                "cert-manager writes a Secret, but the launcher reads the files of Vault's agent",
                "take it out and add pki to the store, or write reference: SyncedKey in the section server",
                code="two-issuers",
            )


def _of_login(store: VaultStore, server: str) -> Iterator[Problem]:
    in_cluster = server == "kubernetes"
    if store.approle and in_cluster:
        yield Problem(
            "store.approle: with server kubernetes",
            "the secret id would be stored in a Kubernetes Secret, and pods can log in with their own tokens",
            "take it out, or add jwt where the Vault server does not reach the cluster's API server",
            code="approle-on-kubernetes",
        )
    if store.kubernetes and not in_cluster:
        yield Problem(
            "store.kubernetes: with a server outside of a cluster",
            "only pods have a service account, with which they can log in",
            "take it out: without it server and rotator log in by approle",
            code="login-needs-cluster",
        )
    if store.jwt and server == "swarm":
        yield Problem(
            "store.jwt: with server swarm",
            "a Swarm does not renew tokens for its containers",
            "take it out: without it server and rotator log in by approle",
            code="jwt-on-swarm",
        )
    for key in ("server_file", "wrapped"):
        if server == "swarm" and getattr(store.approle, key, None):
            yield Problem(
                f"store.approle.{key}: with server swarm",
                "each replica logs in with the Swarm secret that server.login names",
                "take it out",
                code="approle-on-swarm",
            )
    for who in ("server", "rotator") if store.jwt and server != "swarm" else ():
        for key in (who, f"{who}_file"):
            if in_cluster and getattr(store.jwt, key):
                yield Problem(
                    f"store.jwt.{key}: with server kubernetes",
                    "pods present the token of their own service account, and its subject is known",
                    "take it out",
                    code="jwt-subject-of-cluster",
                )
        if not in_cluster and not getattr(store.jwt, who):
            yield Problem(
                f"store.jwt.{who}: required with a server outside of a cluster",
                "the role is bound to one subject, which only the issuer of the tokens knows",
                f"add {who}: the `sub` claim of the token that the {who} presents",
                code="jwt-subject-missing",
            )


def _of_pki(pki: VaultPki, broker: object) -> Iterator[Problem]:
    if pki.signed_by == "stack" and pki.certificate_file:
        yield Problem(
            "store.pki.certificate_file: with signed_by: stack",
            "the stack's own root signs the intermediate",
            "write signed_by: outside, or take it out",
            code="certificate-without-outside-root",
        )
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            "store.pki: with the embedded broker",
            "the embedded broker has no TLS, and requests no client certificate",
            "take pki out of the store",
            code="embedded-broker-without-tls",
        )
    if isinstance(broker, OutsideBroker) and not broker.client_certificate:
        yield Problem(
            "store.pki: without broker.client_certificate",
            "pki signs the client certificate that a broker requires",
            "add client_certificate: true to the broker, or take pki out",
            code="issuer-without-certificate",
        )
