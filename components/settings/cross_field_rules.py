"""Rules across sections of a stack file. The rules of a platform are in its folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from secretops.formats import is_reserved_variable
from secretops.manifest import HTTP_TOKEN, Reader

from ..core import matrix, registry
from ..core import secrets as specs
from ..core.naming import variable_of
from .problems import Problem
from .section import IssuerSection, StoreSection
from .sections import DeclaredSecret, EmbeddedBroker, Environment, OutsideBroker, PrivateCa


def cross_field_rules(
    stack: str, environment: Environment, parsed: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[Problem]:
    """Yield a problem for each violated rule. `parsed` has the valid sections; `kinds` also has the kinds of invalid
    sections."""
    broker, rotation, secrets = parsed.get("broker"), parsed.get("rotation"), parsed.get("secrets", {})
    if isinstance(broker, EmbeddedBroker) and environment is not Environment.DEVELOPMENT:
        explicit, remedy = "environment" in parsed, "write broker.kind: coreflux or mosquitto, and broker.host"
        where = environment if explicit else f"{environment}, the default for this stack's name"
        yield Problem(
            f"broker.kind: embedded with environment: {where}",
            "the embedded broker must only be used in development: it has no TLS, and serves one machine",
            remedy if explicit else f"{remedy}; or write environment: development",
            code="embedded-broker-outside-development",
        )
    if isinstance(broker, OutsideBroker) and not broker.tls:
        yield Problem(
            "broker.tls: false",
            "every broker except the embedded one must use TLS",
            "remove broker.tls, so that the default true applies; if a private CA signs the broker's certificate, "
            "write the path of the CA's certificate in broker.ca_file",
            code="broker-without-tls",
        )
    if isinstance(broker, OutsideBroker) and broker.groups and broker.kind != "coreflux":
        yield Problem(
            f"broker.groups with broker.kind: {broker.kind}",
            "broker.groups requires a Coreflux broker; with mosquitto, broker.topics sets the topics that a user may "
            "use",
            "remove broker.groups",
            code="groups-need-coreflux",
        )
    if rotation and rotation.grace_seconds >= 86400 * min(rotation.mqtt_days, rotation.broker_admin_days):
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds}",
            "the grace period must be shorter than rotation.mqtt_days and rotation.broker_admin_days",
            "write a smaller rotation.grace_seconds, or raise the two numbers of days",
            code="grace-too-long",
        )
    yield from _of_issuer(parsed)
    yield from _of_names(secrets)
    yield from _of_platforms(stack, parsed)
    store, server = kinds.get("store"), kinds.get("server")
    known = store in registry.kinds("store") and server in registry.kinds("server")
    if known and (refused := matrix.refusal(str(store), str(server))):
        rule, remedy = refused
        yield Problem(f"store {store} with server {server}: unsupported", rule, remedy, code="unsupported-pair")


def warnings(environment: Environment, store: StoreSection) -> Iterator[str]:
    yield from registry.platform_of("store", store.kind).warnings(environment, store)


def _of_issuer(parsed: Mapping[str, Any]) -> Iterator[Problem]:
    issuer: IssuerSection | None = parsed.get("issuer")
    broker, store, server = parsed.get("broker"), parsed.get("store"), parsed.get("server")
    if issuer is None:
        return
    if broker and not getattr(broker, "client_certificate", False):
        yield Problem(
            f"issuer.kind: {issuer.kind}, but the broker requires no client certificate",
            "an issuer requires a broker that checks client certificates",
            "if the broker checks them, write broker.client_certificate: true; else remove the section issuer",
            code="issuer-without-certificate",
        )
    others = {"store.pki": store, "server.certificate_issuer": server}
    for other in (key for key, section in others.items() if section and section.has_own_issuer):
        yield Problem(
            f"issuer.kind: {issuer.kind}, with {other}",
            "only one of the two may be set: the client certificate has one issuer",
            f"remove {other}, or the section issuer",
            code="two-issuers",
        )
    if issuer.only_with and store and store.kind != issuer.only_with:
        yield Problem(
            f"issuer.kind: {issuer.kind} with store {store.kind}",
            f"an issuer of this kind requires store {issuer.only_with}: it accepts only the rotator of such a stack",
            "write issuer.kind: private-ca, or remove the section issuer",
            code="issuer-of-other-store",
        )
    if isinstance(issuer, PrivateCa) and issuer.ca_days < (least := 3 * issuer.days):
        yield Problem(
            f"issuer.ca_days: {issuer.ca_days} with issuer.days: {issuer.days}",
            "issuer.ca_days must be at least three times issuer.days: a CA is replaced after two thirds of its "
            "lifetime, and the certificates that it signed must expire before the CA does",
            f"write issuer.ca_days: {least} or more, or a smaller issuer.days",
            code="ca-days-too-short",
        )


def _of_names(secrets: Mapping[str, DeclaredSecret]) -> Iterator[Problem]:
    for name in sorted(specs.GUIDE & set(secrets)):
        yield Problem(
            f"secrets.{name}: the name of a built-in secret",
            f"a declared secret must not be named {', '.join(sorted(specs.GUIDE))}",
            "rename the secret, or remove the entry",
            code="secret-name-taken",
        )
    name, field = HTTP_TOKEN
    token = secrets.get(name)
    if token and (token.fields != (field,) or Reader.SERVER not in token.readers):
        yield Problem(
            f"secrets.{name}: fields {', '.join(token.fields)}, readers {', '.join(token.readers)}",
            f"{name} is the launcher's bearer token: it must have only the field {field}, and server as a reader",
            f"write {name}: {{fields: [{field}]}} in the section secrets, or rename the secret",
            code="http-token-form",
        )
    carried = dict.fromkeys(specs.SERVER_VARIABLES, "the server's own settings")
    for name, field in [(name, field) for name, secret in secrets.items() for field in secret.fields]:
        variable = variable_of(name, field)
        other = next((carried[each] for each in (variable, f"{variable}_FILE") if each in carried), None)
        if any(map(is_reserved_variable, (variable, f"{variable}_FILE"))):
            other = "the system, an SDK or secretops itself"
        carried |= dict.fromkeys((variable, f"{variable}_FILE"), f"secrets.{name}")
        if other and name not in specs.GUIDE:
            yield Problem(
                f"secrets.{name}: the environment variable of its field {field} would be {variable}",
                f"{variable} and {variable}_FILE must be unused, and one of the two belongs to {other}",
                "rename the secret or its field",
                code="variable-taken",
            )


def _of_platforms(stack: str, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    store, server = parsed.get("store"), parsed.get("server")
    platforms = [registry.platform_of("server", server.kind)] if server else []
    platforms += [registry.platform_of("store", store.kind)] if store else []
    for platform in dict.fromkeys(platforms):
        yield from platform.cross_field_rules(stack, parsed)
    for key, stores in (server.keys_for_stores if server else {}).items():
        if store and store.kind not in stores and getattr(server, key):
            rule = f"server.{key} requires store {' or '.join(stores)}"
            yield Problem(
                f"server.{key}: with store {store.kind}", rule, f"remove server.{key}", code="key-for-other-store"
            )
