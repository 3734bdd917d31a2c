from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from secretops.formats import counted, image_registry
from secretops.manifest import HTTP_TOKEN, Reader, Secret, SecretKind

from ..settings.problems import Problem
from ..settings.remote_constraints import LENGTHEN, of_fetching, out_of_reach, too_many_certificates
from ..settings.sections import DeclaredSecret, Rotation
from .names import NAME_LIMIT, files_of, names_of
from .settings import SwarmServer, SwarmStore

# Maximum bytes of a config, just below swarmkit's limit (manager/controlapi, MaxConfigSize).
CONFIG_LIMIT = 1000 * 1024

# Minimum grace period in seconds: two minutes until a replica that can't start fails, and one minute until launchers
# replace their MQTT clients.
ROLLED = 180

# Additional seconds per replica, since replicas are replaced one by one.
A_REPLICA = 15


def cross_field_rules(stack: str, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    store, server, broker = parsed.get("store"), parsed.get("server"), parsed.get("broker")
    if isinstance(server, SwarmServer):
        yield from out_of_reach(
            "server swarm",
            broker,
            "the stack copies the file into a config of the Swarm, which the containers read",
            runs="container",
        )
        yield from too_many_certificates(
            broker, CONFIG_LIMIT, "the certificates become a config, which a Swarm limits to 1,000 KiB"
        )
        yield from _published(server)
        yield from _of_no_registry(server)
        if store and not isinstance(store, SwarmStore):
            yield from _of_another_store(server, store.kind, parsed)
    if isinstance(store, SwarmStore):
        if isinstance(server, SwarmServer) and server.login:
            yield Problem(
                "server.login: with store swarm",
                "server.login requires another store: with store swarm, the Swarm mounts the secrets into the service",
                "remove server.login",
                code="key-for-other-store",
            )
        yield from _of_names(stack, parsed.get("secrets", {}))
        if isinstance(server, SwarmServer):
            yield from _too_soon(server, parsed.get("rotation"))


def _published(server: SwarmServer) -> Iterator[Problem]:
    if server.publish == "ingress":
        if server.port is None:
            yield Problem(
                "server.port: required with server.publish: ingress",
                "ingress requires a fixed port, the same on every node",
                "write server.port, for example port: 8000",
                code="port-missing",
            )
        if server.replicas != 1:
            yield Problem(
                f"server.replicas: {server.replicas} with server.publish: ingress",
                "server.replicas must be 1: only one replica knows an MCP session, and Docker's ingress spreads "
                "connections over all replicas",
                "write server.replicas: 1; or write server.publish: none, and run a proxy with session affinity in the "
                "server's network",
                code="ingress-needs-one-replica",
            )
    if server.publish == "host" and server.port is not None:
        yield Problem(
            f"server.port: {server.port} with server.publish: host",
            "with publish: host, Docker must choose the port: on a node, a new replica starts before the old one ends",
            "remove server.port; or write publish: ingress and replicas: 1",
            code="port-of-host",
        )
    if server.publish == "none" and server.port is not None:
        yield Problem(
            f"server.port: {server.port} with server.publish: none",
            "server.port requires publish: ingress; with publish: none, no port of the server is published",
            "remove server.port; or write publish: ingress and replicas: 1",
            code="port-not-published",
        )


def _of_no_registry(server: SwarmServer) -> Iterator[Problem]:
    if server.registry_login and image_registry(server.image) is None:
        yield Problem(
            f"server.registry_login: with image {server.image}",
            "the image's name must start with the registry's host, by which Docker finds the login",
            f"write the image with its registry; if that is Docker Hub: docker.io/{server.image}",
            code="registry-not-named",
        )


def _of_another_store(server: SwarmServer, store: str, parsed: Mapping[str, Any]) -> Iterator[Problem]:
    where = f"store {store} and server swarm"
    if not server.login:
        yield Problem(
            f"server.login: required with store {store}",
            "the launcher logs in to the store with a file, which you must make a Swarm secret",
            "docker secret create coreflux-mcp-login FILE (docs/operations/swarm.md describes FILE); then write login: "
            "coreflux-mcp-login in the section server",
            code="login-missing",
        )
    yield from of_fetching(where, parsed)


def _of_names(stack: str, secrets: Mapping[str, DeclaredSecret]) -> Iterator[Problem]:
    names = names_of(stack)
    for name, secret in secrets.items():
        for field in secret.fields:
            if len(whole := names.longest(name, field)) > NAME_LIMIT:
                over = len(whole) - NAME_LIMIT
                yield Problem(
                    f"secrets.{name}: the Swarm secret of its field {field} would be named {whole}",
                    f"the name of a Swarm secret may have at most {NAME_LIMIT} characters",
                    f"shorten the name of the secret or the field by {counted(over, 'character', 'characters')}",
                    code="field-name-too-long",
                )
    taken = {"mqtt_user", "mqtt_password", "api_key", "http_token", "ca.crt", "client.crt", "client.key"}
    for name, secret in secrets.items():
        if Reader.SERVER not in secret.readers or name == HTTP_TOKEN[0]:
            continue
        for field, file in files_of(_as_secret(name, secret)).items():
            if file.name in taken:
                yield Problem(
                    f"secrets.{name}: the file name of its field {field} would be {file.name}",
                    "each file name must be unique, and another secret uses this one",
                    "rename the secret or its field",
                    code="file-name-taken",
                )
            taken.add(file.name)


def _as_secret(name: str, secret: DeclaredSecret) -> Secret:
    return Secret(name=name, kind=SecretKind.SUPPLIED, fields=secret.fields, readers=secret.readers, cadence_days=1)


def _too_soon(server: SwarmServer, rotation: Rotation | None) -> Iterator[Problem]:
    least = ROLLED + A_REPLICA * server.replicas
    if rotation and rotation.grace_seconds < least:
        yield Problem(
            f"rotation.grace_seconds: {rotation.grace_seconds} with {server.replicas} replicas",
            f"rotation.grace_seconds must be at least {least}: after a rotation, the Swarm replaces the "
            "replicas one after another",
            LENGTHEN.format(least),
            code="grace-too-short",
        )
