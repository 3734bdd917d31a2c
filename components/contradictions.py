"""What is wrong between sections of a stack file that are each right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components import catalogue, matrix
from components.broker import ca_bundle
from components.naming import CERTIFICATE_FILES, variable_of
from components.problems import Problem
from components.sections import (
    BrokerSettings,
    DeclaredSecret,
    EmbeddedBroker,
    Environment,
    KubernetesServer,
    KubernetesStore,
    OutsideBroker,
)
from secretops.manifest import HTTP_TOKEN, Reader

SHORTEST_GRACE = 180
"""Seconds, where kubelets bring values: up to two minutes (docs/operations/kubernetes.md), and one to change over."""


def contradictions(environment: Environment, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    """Each of them, from the sections that could be read."""
    broker, rotation, secrets = parsed.get("broker"), parsed.get("rotation"), parsed.get("secrets", {})
    if isinstance(broker, EmbeddedBroker) and environment is not Environment.DEVELOPMENT:
        yield Problem(
            f"broker.kind: embedded in {environment}",
            "the embedded broker is for development: no TLS, one machine",
            "name your broker: kind coreflux or mosquitto, and its host",
        )
    if isinstance(broker, OutsideBroker):
        if not broker.tls and environment is not Environment.DEVELOPMENT:
            yield Problem(
                f"broker.tls: false in {environment}",
                "secrets are only sent over TLS (Secret Management Guide, Transmission)",
                "take it out; a private CA goes into broker.ca_file",
            )
        if not broker.tls and (broker.client_certificate or broker.ca_file):
            yield Problem(
                "broker.tls: false with ca_file or client_certificate",
                "certificates mean nothing without TLS",
                "take out tls: false, or the certificates",
            )
    if rotation and rotation.grace_seconds >= 86400 * min(rotation.mqtt_days, rotation.broker_admin_days):
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds}",
            "the grace ends before the next rotation is due",
            "shorten it, or rotate less often",
        )
    if rotation and rotation.grace_seconds < SHORTEST_GRACE and isinstance(parsed.get("store"), KubernetesStore):
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds} with store kubernetes",
            f"at least {SHORTEST_GRACE}: a new value takes up to two minutes to reach a pod, which has to change over",
            "lengthen it, or take it out for its default",
        )
    yield from _of_names(secrets)
    if isinstance(server := parsed.get("server"), KubernetesServer):
        yield from _on_kubernetes(server, broker, secrets)
    if "store" in parsed and "server" in parsed:
        refused = matrix.refusal(parsed["store"].kind, parsed["server"].kind)
        if refused:
            yield Problem(*refused)


def _of_names(secrets: Mapping[str, DeclaredSecret]) -> Iterator[Problem]:
    """Declared secrets that have another thing's name, or whose field is another thing's variable."""
    for name in sorted(catalogue.GUIDE & set(secrets)):
        yield Problem(
            f"secrets.{name}: declared",
            "the guide's own secrets are in every stack",
            "take it out, or give it another name",
        )
    name, field = HTTP_TOKEN
    token = secrets.get(name)
    if token and (token.fields != (field,) or Reader.SERVER not in token.readers):
        yield Problem(
            f"secrets.{name}: fields {', '.join(token.fields)}, readers {', '.join(token.readers)}",
            f"it is the launcher's bearer token: one field, {field}, that the server reads",
            f"write {name}: {{fields: [{field}]}}, or give it another name",
        )
    carried = dict.fromkeys(catalogue.SERVER_VARIABLES, "the server's own settings")
    for name, field in [(name, field) for name, secret in secrets.items() for field in secret.fields]:
        variable = variable_of(name, field)
        other = next((carried[each] for each in (variable, f"{variable}_FILE") if each in carried), None)
        if variable.startswith(catalogue.OWN_PREFIX):
            other = "secretops itself"
        carried |= dict.fromkeys((variable, f"{variable}_FILE"), f"secrets.{name}")
        if other and name not in catalogue.GUIDE:
            yield Problem(
                f"secrets.{name}: its field {field} is the variable {variable}",
                f"a variable carries one thing, and this one is used by {other}",
                "rename the secret or its field",
            )


def _on_kubernetes(
    server: KubernetesServer, broker: BrokerSettings | None, secrets: Mapping[str, DeclaredSecret]
) -> Iterator[Problem]:
    """What pods can't do, or can't be given."""
    if isinstance(broker, EmbeddedBroker):
        yield Problem(
            "broker.kind: embedded with server kubernetes",
            "it listens on one machine's loopback, which no pod reaches",
            "name your broker: kind coreflux or mosquitto, and its host",
        )
    if isinstance(broker, OutsideBroker) and broker.ca_file:
        rule = "a PEM file of CA certificates: it is read here, and becomes a ConfigMap that the pods read"
        remedy = "put it there, or name another; take it out if a public CA signs the broker's certificate"
        try:
            ca_bundle(broker.ca_file)
        except OSError as error:
            yield Problem(f"broker.ca_file: {broker.ca_file}: {error.strerror}", rule, remedy)
        except ValueError:
            yield Problem(f"broker.ca_file: {broker.ca_file}: no certificate in it", rule, remedy)
    if server.certificate_issuer and isinstance(broker, OutsideBroker) and not broker.client_certificate:
        yield Problem(
            "server.certificate_issuer: without broker.client_certificate",
            "it signs the certificate that the broker asks the server for",
            "add client_certificate: true to the broker, or take the issuer out",
        )
    for name, secret in secrets.items():
        for field in secret.fields:
            if f"{name}.{field}" in CERTIFICATE_FILES:
                yield Problem(
                    f"secrets.{name}: its field {field} is the file {name}.{field}",
                    "in the server's folder that is a file of its client certificate",
                    "rename the secret or its field",
                )
