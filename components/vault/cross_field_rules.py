"""What is wrong between sections of a stack file whose store is a Vault. Judged without the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.broker import ca_bundle
from ..settings.problems import Problem
from ..settings.remote_constraints import fetched_too_late, not_fetched
from ..settings.sections import EmbeddedBroker, OutsideBroker
from ..settings.validation_errors import A_SECTION
from .settings import VaultStore

METHODS = ("approle", "jwt", "kubernetes")

MOST_SECRETS = 55
"""Of the stack file's own. A path takes 64 notes, and that of the lease has one of each secret that is kept, of those
that left and were not purged, too (secretops.platforms.vault.version_metadata). Five are every stack's."""


def cross_field_rules(store: VaultStore, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    """Each of them, from the sections that could be read."""
    server, broker, secrets = parsed.get("server"), parsed.get("broker"), parsed.get("secrets", {})
    yield from _of_nothing(store)
    yield from _certificates("store.ca_file", store.ca_file, "by which the Vault server is known")
    if store.jwt:
        yield from _certificates("store.jwt.ca_file", store.jwt.ca_file, "by which Vault knows the issuer")
    yield from _of_logins(store, server)
    yield from _of_pki(store, broker)
    yield from _too_many(secrets)
    if server and not server.is_remote:
        yield from fetched_too_late(parsed.get("rotation"), "store vault and server local")
        yield from not_fetched(secrets, "store vault and server local", "write readers: [rotator], or take it out")
    if server and server.kind == "kubernetes" and server.reference != "SyncedKey":
        remedy = "write readers: [rotator], or reference: SyncedKey in the section server"
        yield from not_fetched(secrets, "store vault and files of its agent", remedy)
        if server.certificate_issuer:
            yield Problem(
                "server.certificate_issuer: with files of Vault's agent",
                "cert-manager writes a Secret, and the agent lays the certificate where the launcher looks for it",
                "take it out and add pki to the store, or write reference: SyncedKey in the section server",
                code="two-issuers",
            )


def _of_nothing(store: VaultStore) -> Iterator[Problem]:
    """A section with nothing behind its key: it would mean what leaving it out does."""
    for key in (*METHODS, "pki"):
        if key in store.model_fields_set and getattr(store, key) is None:
            form = "issuer: and what else it has, below it" if key == "jwt" else f"{key}: {{}}"
            yield Problem(f"store.{key}: nothing", A_SECTION, f"write {form}; or take it out", code="section-empty")


def _of_logins(store: VaultStore, server: Any) -> Iterator[Problem]:
    said = [method for method in METHODS if getattr(store, method)]
    if len(said) > 1:
        yield Problem(
            f"store: {' and '.join(said)}",
            "server and rotator log in by one method",
            "take out all but one; without any a cluster's log in by kubernetes, others by approle",
            code="one-login-method",
        )
        return
    in_cluster = bool(server) and server.kind == "kubernetes"
    if server and store.approle and in_cluster:
        yield Problem(
            "store.approle: with server kubernetes",
            "its secret id would lie in a Secret of the cluster, and pods have tokens of their own to log in with",
            "take it out, or add jwt where the Vault server does not reach the cluster's API server",
            code="approle-on-kubernetes",
        )
    if server and store.kubernetes and not in_cluster:
        yield Problem(
            "store.kubernetes: with a server outside of a cluster",
            "only pods have a service account to log in as",
            "take it out: without it server and rotator log in by approle",
            code="login-needs-cluster",
        )
    if server and server.kind == "swarm":
        yield from _in_a_swarm(store)
    elif store.jwt and server:
        yield from _of_subjects(store, in_cluster=in_cluster)


def _in_a_swarm(store: VaultStore) -> Iterator[Problem]:
    """What the containers of a Swarm can't log in with."""
    if store.jwt:
        yield Problem(
            "store.jwt: with server swarm",
            "a Swarm gives its containers no token that somebody renews",
            "take it out: without it server and rotator log in by approle",
            code="jwt-on-swarm",
        )
    for key in ("server_file", "wrapped") if store.approle else ():
        if getattr(store.approle, key):
            yield Problem(
                f"store.approle.{key}: with server swarm",
                "the secret of the Swarm that server.login names is the file, and each replica logs in with it",
                "take it out",
                code="approle-on-swarm",
            )


def _of_subjects(store: VaultStore, *, in_cluster: bool) -> Iterator[Problem]:
    for who in ("server", "rotator"):
        subject, file = (getattr(store.jwt, key) for key in (who, f"{who}_file"))
        if not in_cluster and not subject:
            yield Problem(
                f"store.jwt.{who}: missing with a server outside of a cluster",
                "the role is bound to one subject, and nobody knows it but who signs the tokens",
                f"add {who}: the claim sub of the token that the {who} shows",
                code="jwt-subject-missing",
            )
        for key, entry in ((who, subject), (f"{who}_file", file)):
            if in_cluster and entry:
                yield Problem(
                    f"store.jwt.{key}: with server kubernetes",
                    "pods show the token of their own service account, whose subject is known",
                    "take it out",
                    code="jwt-subject-of-cluster",
                )


def _of_pki(store: VaultStore, broker: object) -> Iterator[Problem]:
    if not store.pki:
        return
    if store.pki.signed_by == "stack" and store.pki.certificate_file:
        yield Problem(
            "store.pki.certificate_file: with signed_by: stack",
            "the stack's own root signs the intermediate",
            "write signed_by: outside, or take it out",
            code="certificate-without-outside-root",
        )
    yield from _certificates("store.pki.certificate_file", store.pki.certificate_file, "of the intermediate")
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            "store.pki: with the embedded broker",
            "that one has no TLS, and asks nobody for a certificate",
            "take pki out of the store",
            code="embedded-broker-without-tls",
        )
    if isinstance(broker, OutsideBroker) and not broker.client_certificate:
        yield Problem(
            "store.pki: without broker.client_certificate",
            "it signs the certificate that the broker asks the server for",
            "add client_certificate: true to the broker, or take pki out",
            code="issuer-without-certificate",
        )


def _too_many(declared: Mapping[str, object]) -> Iterator[Problem]:
    if len(declared) > MOST_SECRETS:
        yield Problem(
            f"secrets: {len(declared)} of them with store vault",
            f"at most {MOST_SECRETS}: which ones are kept is noted at one path, which takes no more",
            "put those that belong together into one secret of several fields",
            code="too-many-secrets",
        )


def _certificates(key: str, path: str | None, what: str) -> Iterator[Problem]:
    """A CA file that is not there to be read."""
    if not path:
        return
    rule = f"a PEM file of certificates {what}: it is read here"
    try:
        ca_bundle(path)
    except OSError as error:
        yield Problem(
            f"{key}: {path}: {error.strerror}", rule, "put it there, or name another", code="ca-file-unreadable"
        )
    except ValueError:
        yield Problem(
            f"{key}: {path}: no certificate in it", rule, "put it there, or name another", code="ca-file-invalid"
        )
