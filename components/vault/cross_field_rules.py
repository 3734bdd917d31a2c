from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..settings.problems import Problem
from ..settings.remote_constraints import not_fetched, of_local_server, unreadable_certificates
from ..settings.sections import EmbeddedBroker, OutsideBroker
from ..settings.validation_errors import A_SECTION
from .settings import VaultPki, VaultStore

METHODS = ("approle", "jwt", "kubernetes")

# Maximum number of declared secrets. A path may have 64 entries of custom metadata. The lease's path has an entry for
# each secret of the stack, and for each removed secret until its purge (secretops.platforms.vault.version_metadata).
# A stack without declared secrets has five.
MOST_SECRETS = 55


def cross_field_rules(store: VaultStore, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    server: Any = parsed.get("server")
    secrets = parsed.get("secrets", {})
    for key in (*METHODS, "pki"):  # an empty section would have the same meaning as a missing one
        if key in store.model_fields_set and getattr(store, key) is None:
            form = "issuer and the other keys below jwt" if key == "jwt" else f"{key}: {{}}"
            rule, remedy = f"the entry must be {A_SECTION}", f"write {form}; or remove the key"
            yield Problem(f"store.{key}: empty", rule, remedy, code="store-section-empty")
    for key, path, of in (
        ("ca_file", store.ca_file, "certificates that sign the Vault server's certificate"),
        ("jwt.ca_file", store.jwt and store.jwt.ca_file, "certificates that sign the issuer's certificate"),
        ("pki.certificate_file", store.pki and store.pki.certificate_file, "certificates of the intermediate CA"),
    ):
        rule = f"the file must be a PEM file on this machine, with {of}"
        yield from (
            unreadable_certificates(f"store.{key}", path, rule, "put the file at this path, or write another path")
            if path
            else ()
        )
    kind = server.kind if server else ""
    methods = [method for method in METHODS if getattr(store, method)]
    if len(methods) > 1:
        yield Problem(
            f"store: {' and '.join(methods)}",
            "server and rotator must log in by only one method",
            "keep only one of these keys below store; without any, pods log in by kubernetes, and others by approle",
            code="one-login-method",
        )
    elif methods and kind:
        yield from _of_login(store, kind)
    if store.pki:
        yield from _of_pki(store.pki, parsed.get("broker"))
    if len(secrets) > MOST_SECRETS:
        yield Problem(
            f"secrets: {len(secrets)} entries with store vault",
            f"a stack may have at most {MOST_SECRETS} secrets: a path of Vault has at most 64 entries of custom "
            "metadata, and each secret needs one",
            "combine secrets that belong together into one secret with several fields",
            code="too-many-secrets",
        )
    if server and not server.is_remote:
        yield from of_local_server("vault", parsed)
    if kind == "kubernetes" and server.reference != "SyncedKey":
        remedy = "write readers: [rotator], or reference: SyncedKey in the section server"
        yield from not_fetched(secrets, "files written by Vault's agent", remedy)
        if server.certificate_issuer:
            yield Problem(
                "server.certificate_issuer: with files written by Vault's agent",
                "server.certificate_issuer requires server.reference: SyncedKey, because cert-manager writes a "
                "Kubernetes Secret",
                "write server.reference: SyncedKey, or replace certificate_issuer by store.pki",
                code="issuer-needs-synced-key",
            )


def _of_login(store: VaultStore, server: str) -> Iterator[Problem]:
    in_cluster = server == "kubernetes"
    if store.approle and in_cluster:
        yield Problem(
            "store.approle: with server kubernetes",
            "pods must log in with their own tokens: a secret id would be stored in a Kubernetes Secret",
            "remove store.approle; or write store.jwt in its place, if the Vault server does not reach the cluster's "
            "API server",
            code="approle-on-kubernetes",
        )
    if store.kubernetes and not in_cluster:
        yield Problem(
            "store.kubernetes: with a server outside of a cluster",
            "a login by kubernetes requires pods: only they have a service account",
            "remove store.kubernetes: by default server and rotator then log in by approle",
            code="login-needs-cluster",
        )
    if store.jwt and server == "swarm":
        yield Problem(
            "store.jwt: with server swarm",
            "this login requires tokens that the platform renews, which a Swarm does not",
            "remove store.jwt: by default server and rotator then log in by approle",
            code="jwt-on-swarm",
        )
    for key in ("server_file", "wrapped"):
        if server == "swarm" and getattr(store.approle, key, None):
            yield Problem(
                f"store.approle.{key}: with server swarm",
                "each replica must log in with the Swarm secret in server.login, which contains the secret id",
                f"remove store.approle.{key}",
                code="approle-on-swarm",
            )
    for who in ("server", "rotator") if store.jwt and server != "swarm" else ():
        for key in (who, f"{who}_file"):
            if in_cluster and getattr(store.jwt, key):
                yield Problem(
                    f"store.jwt.{key}: with server kubernetes",
                    "pods must present the token of their own service account, so its subject is known",
                    f"remove store.jwt.{key}",
                    code="jwt-subject-of-cluster",
                )
        if not in_cluster and not getattr(store.jwt, who):
            yield Problem(
                f"store.jwt.{who}: required with a server outside of a cluster",
                "the role must be bound to the subject of the tokens, which only their issuer knows",
                f"add {who}: the `sub` claim of the token that the {who} presents",
                code="jwt-subject-missing",
            )


def _of_pki(pki: VaultPki, broker: object) -> Iterator[Problem]:
    if pki.signed_by == "stack" and pki.certificate_file:
        yield Problem(
            "store.pki.certificate_file: with signed_by: stack",
            "a certificate file requires signed_by: outside; otherwise the stack signs the intermediate CA itself",
            "write store.pki.signed_by: outside, or remove certificate_file",
            code="certificate-without-outside-root",
        )
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            "store.pki: with the embedded broker",
            "pki requires a broker with client certificates, and the embedded broker has no TLS",
            "remove store.pki",
            code="embedded-broker-without-tls",
        )
    if isinstance(broker, OutsideBroker) and not broker.client_certificate:
        yield Problem(
            "store.pki: without broker.client_certificate",
            "pki requires a broker with client certificates",
            "add broker.client_certificate: true, or remove store.pki",
            code="issuer-without-certificate",
        )
