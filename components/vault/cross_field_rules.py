from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..settings.problems import Problem
from ..settings.remote_constraints import not_fetched, of_fetching, unreadable_certificates
from ..settings.sections import EmbeddedBroker, OutsideBroker
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
            if key == "jwt":
                what = "store.jwt: empty"
                rule = "the section must have entries, at least issuer"
                remedy = "write the keys of this section below jwt (docs/settings.md); or remove the key jwt"
            else:
                what = f"store.{key}: empty"
                rule = "the section must have entries, or be {} for all defaults"
                remedy = f"write {key}: {{}}; or remove the key {key}"
            yield Problem(what, rule, remedy, code="store-section-empty")
    for key, path, of in (
        ("ca_file", store.ca_file, "the CA that signs the certificate of the Vault server"),
        (
            "jwt.ca_file",
            store.jwt and store.jwt.ca_file,
            "the CA that signs the certificate of the server in store.jwt.issuer",
        ),
        (
            "pki.certificate_file",
            store.pki and store.pki.certificate_file,
            "the signed certificate of the intermediate CA",
        ),
    ):
        rule = f"store.{key} must be a PEM file on this machine, with {of}"
        yield from (
            unreadable_certificates(f"store.{key}", path, rule, f"write the PEM to this path, or correct store.{key}")
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
        yield from of_fetching("store vault and server local", parsed)
    if kind == "kubernetes" and server.reference != "SyncedKey":
        remedy = "write readers: [rotator], or reference: SyncedKey in the section server"
        yield from not_fetched(secrets, "files written by Vault's agent", remedy)
        if server.certificate_issuer:
            yield Problem(
                "server.certificate_issuer: set, although Vault's agent writes the files of the pods",
                "server.certificate_issuer requires server.reference: SyncedKey, because cert-manager writes the "
                "certificate to a Kubernetes Secret",
                "write server.reference: SyncedKey; or remove server.certificate_issuer, and write store.pki",
                code="issuer-needs-synced-key",
            )


def _of_login(store: VaultStore, server: str) -> Iterator[Problem]:
    in_cluster = server == "kubernetes"
    if store.approle and in_cluster:
        yield Problem(
            "store.approle: with server kubernetes",
            "pods must log in with the token of their service account: AppRole would need a secret id in a Kubernetes "
            "Secret",
            "remove store.approle; if the Vault server cannot reach the cluster's API server, write store.jwt in its "
            "place",
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
            "a login by JWT requires a platform that renews the tokens, and a Swarm does not",
            "remove store.jwt: server and rotator then log in by AppRole",
            code="jwt-on-swarm",
        )
    for option in ("server_file", "wrapped"):
        if server == "swarm" and getattr(store.approle, option, None):
            yield Problem(
                f"store.approle.{option}: with server swarm",
                "each replica must log in with the secret id in the Swarm secret that server.login names",
                f"remove store.approle.{option}",
                code="approle-on-swarm",
            )
    if store.jwt is None or server == "swarm":
        return
    for who in ("server", "rotator"):
        for key in (who, f"{who}_file"):
            if in_cluster and getattr(store.jwt, key):
                yield Problem(
                    f"store.jwt.{key}: with server kubernetes",
                    "pods must log in with the tokens of their own service accounts, which the stack knows without "
                    "this setting",
                    f"remove store.jwt.{key}",
                    code="jwt-subject-of-cluster",
                )
        if not in_cluster and not getattr(store.jwt, who):
            yield Problem(
                f"store.jwt.{who}: missing, and the server is outside of a cluster",
                f"Vault must accept only tokens of the {who}, which it recognizes by their claim `sub`",
                f"write in store.jwt.{who} the claim `sub` of the token with which the {who} logs in",
                code="jwt-subject-missing",
            )


def _of_pki(pki: VaultPki, broker: object) -> Iterator[Problem]:
    if pki.signed_by == "stack" and pki.certificate_file:
        yield Problem(
            "store.pki.certificate_file: with store.pki.signed_by: stack",
            "a certificate file requires signed_by: outside; with signed_by: stack, the stack signs the intermediate "
            "CA",
            "write store.pki.signed_by: outside, or remove store.pki.certificate_file",
            code="certificate-without-outside-root",
        )
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            "store.pki: with the embedded broker",
            "store.pki requires a broker that checks client certificates, and the embedded broker has no TLS",
            "remove store.pki",
            code="embedded-broker-without-tls",
        )
    if isinstance(broker, OutsideBroker) and not broker.client_certificate:
        yield Problem(
            "store.pki: without broker.client_certificate",
            "store.pki requires a broker that checks client certificates",
            "if the broker checks them, write broker.client_certificate: true; else remove store.pki",
            code="issuer-without-certificate",
        )
