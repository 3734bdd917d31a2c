"""Rules on services, network and provider of a Docker Swarm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from policies.containers import HAS_CREDENTIAL, UNPINNED, carries_value, drops_all, no_credential, pinned
from policies.controls import controls
from policies.matchers import at, each, is_true, judge, listed, matches, not_set, one_of
from policies.plan import UNKNOWN, Environment, Finding, Plan, Resource
from policies.rule import ALL, Each, Enforcement, Expect, Rule, rows, where

SERVICE, NETWORK = "docker:index/service:Service", "docker:index/network:Network"
PROVIDER = "pulumi:providers:docker"
IDENTITY, ROTATOR = "coreflux-mcp-secrets:swarm:Identity", "coreflux-mcp-secrets:swarm:Rotator"
_CONTAINER = "taskSpec.containerSpec."
_NOT_ROOT, _MANAGER = "(?!(0|root)?(:|$)).*", "node.role==manager"
# The launcher's port, and the mode bits that a secret's file must not have.
_PORT, _ELSE = 8080, 0o377


def containers(plan: Plan) -> Iterator[tuple[Resource, Any]]:
    return ((service, _spec(service)) for service in plan.of_type(SERVICE))


def _spec(service: Resource) -> Any:
    return at(service.properties, "taskSpec", "containerSpec")


def binds(service: Resource) -> list[Any]:
    """Return the service's bind mounts. Mounts of unknown type count as bind mounts."""
    return [mount for mount in each(at(_spec(service), "mounts")) if at(mount, "type") not in ("tmpfs", "volume")]


def _has_no_binds(service: Resource) -> bool:
    return not binds(service)


def _no_network(plan: Plan) -> Iterator[Finding]:
    if not any(plan.of_type(NETWORK)):
        yield Finding(
            plan.urn,
            "the stack has no network of its own: networks of others may be unencrypted; add an encrypted overlay",
        )


def _logins(provider: Resource) -> Iterator[Finding]:
    entry = at(provider.properties, "registryAuth")
    with suppress(ValueError):
        for registry in each(json.loads(entry) if isinstance(entry, str) else entry):
            for key in ("password", "username", "configFileContent"):
                wrong = f"has {key}, which the state would store; set only the address, and log in by docker login"
                yield from judge(provider, at(registry, key), one_of(None), "registryAuth", wrong)


def _modes(service: Resource) -> Iterator[Finding]:
    endpoint = at(service.properties, "endpointSpec")
    for port in each(at(endpoint, "ports")):
        found = (at(port, "publishMode"), at(endpoint, "mode"))
        wrong = "does not match endpointSpec.mode; set ingress with vip, or host with dnsrr"
        yield from judge(service, found, (("ingress", "vip"), ("host", "dnsrr")).__contains__, "publishMode", wrong)


def _is_closed(mode: Any, uid: Any, user: Any) -> bool:
    return isinstance(mode, int) and not mode & _ELSE and str(uid) == str(user).partition(":")[0]


def _secrets(service: Resource) -> Iterator[Finding]:
    variables, user = at(_spec(service), "env"), at(_spec(service), "user")
    for name, text in [(UNKNOWN, UNKNOWN)] if variables is UNKNOWN else (variables or {}).items():
        yield from carries_value(service, "a container", name, text)
    for secret in each(at(_spec(service), "secrets")):
        found = (at(secret, "fileMode"), at(secret, "fileUid"), user)
        wrong = (
            "belongs to another user, or others can read it; set fileUid to the container's user, and fileMode to 0400"
        )
        yield from judge(service, found, lambda found: _is_closed(*found), "a secret's file", wrong)


def _is_socket(found: tuple[Any, Any, Any]) -> bool:
    return found == (found[0], found[0], f"unix://{found[0]}")


def _mounts(service: Resource) -> Iterator[Finding]:
    for mount in binds(service):
        found = (at(mount, "source"), at(mount, "target"), at(_spec(service), "env", "DOCKER_HOST"))
        wrong = (
            "is not the socket in the service's DOCKER_HOST, and may contain values of other programs; remove the mount"
        )
        yield from judge(service, found, _is_socket, "a mount of the node's files", wrong)


def _sockets(plan: Plan) -> Iterator[Finding]:
    holders = [service for service in plan.of_type(SERVICE) if binds(service)]
    for service in holders[1:]:
        yield Finding(
            service.urn, "a second service mounts the daemon's socket, which only the rotator needs; remove this mount"
        )
    if not holders and any(plan.of_type(ROTATOR)):
        yield Finding(plan.urn, "no service has the daemon's socket: nothing rotates; add the rotator's service")


VALUES = ("docker:index/secret:Secret",)
IMAGES = (Expect(SERVICE, f"{_CONTAINER}image", pinned, UNPINNED),)

RULES = (
    Rule(
        name="swarm-logs-retained",
        sentence="No service discards its log: the log records who read which secret.",
        controls=controls("CC7.2 10.2.1 164.312(b) 32(1)(d)", "reads of secrets are recorded"),
        limitation="The rule does not check how long daemons retain a log, and reads by others, which a Swarm does "
        "not record.",
        checks=rows(
            SERVICE,
            (
                "taskSpec.logDriver.name",
                lambda name: name != "none",
                "is none: records of reads are lost; set another log driver",
            ),
        ),
    ),
    Rule(
        name="swarm-network-is-encrypted",
        sentence="Except in development, the stack's network is an encrypted overlay network.",
        controls=controls("CC6.7 8.3.2 164.312(e)(2)(ii) 32(1)(a)", "tokens are encrypted between nodes"),
        limitation="The rule does not check other networks that the server joins, or whether the nodes' kernels "
        "support IPsec.",
        checks=rows(
            NETWORK,
            ("driver", one_of("overlay"), "is not overlay: nodes share no network; set overlay"),
            (
                "options.encrypted",
                one_of("true", True, ""),
                "is off: nodes use plain text; remove server.encrypted: false",
            ),
        ),
        across=_no_network,
        types=(IDENTITY,),
        environments=ALL - {Environment.DEVELOPMENT},
        enforcement=Enforcement.ADVISORY,  # the documentation allows encrypted: false for kernels without IPsec
    ),
    Rule(
        name="swarm-provider-has-no-login",
        sentence="The Swarm's provider has no registry login and no key among its inputs.",
        controls=controls("CC6.1 8.3.2 164.312(d) 32(1)(b)", "the state has no operator's login"),
        limitation="The rule does not check what the managers store of a login with which a service was deployed.",
        checks=(
            Each(PROVIDER, _logins),
            *rows(
                PROVIDER,
                (
                    "keyMaterial",
                    one_of(None, ""),
                    "is set: the state would store the key; set DOCKER_CERT_PATH instead",
                ),
                (
                    "certMaterial",
                    one_of(None, ""),
                    "is set: the state would store the certificate; set DOCKER_CERT_PATH instead",
                ),
            ),
        ),
    ),
    Rule(
        name="swarm-publishes-one-port",
        sentence="A service publishes only the launcher's port, which requires a bearer token.",
        controls=controls("CC6.6 1.3.1 2.2.4 164.312(e)(1) 32(1)(b)", "the only open port requires a token"),
        limitation="The rule does not check whether a balancer or proxy terminates TLS before a published port: its "
        "operator does.",
        checks=(
            *rows(
                SERVICE,
                ("", lambda ports: len(listed(ports)) <= 1, "are more than one; publish only the launcher's port"),
                (
                    "[].targetPort",
                    one_of(_PORT),
                    f"is not the launcher's port, {_PORT}, and requires no token; remove this port",
                ),
                ("[].protocol", one_of(None, "tcp"), "is not tcp, which the launcher uses; remove this port"),
                below="endpointSpec.ports",
            ),
            Each(SERVICE, _modes),
        ),
    ),
    Rule(
        name="swarm-root-is-read-only",
        sentence="No container of a service can write to its root file system.",
        controls=controls("CC6.8 2.2.6 164.312(c)(1) 32(1)(b)", "nobody adds a program to a running container"),
        limitation="The rule does not cover programs in a writable mount, such as /tmp.",
        checks=rows(SERVICE, (f"{_CONTAINER}readOnly", is_true, "is not true: the program can change; set true")),
    ),
    Rule(
        name="swarm-secrets-are-files",
        sentence="No variable or command contains a secret value; only the container's user can read a secret's file.",
        controls=controls("CC6.1 8.6.2 164.312(a)(1) 32(1)(b)", "the configuration contains no credential"),
        limitation="The rule does not check files of versions that secretops attaches later: secretops sets their "
        "modes.",
        checks=(
            *(Expect(SERVICE, f"{_CONTAINER}{what}", no_credential, HAS_CREDENTIAL) for what in ("commands", "args")),
            Each(SERVICE, _secrets),
        ),
    ),
    Rule(
        name="swarm-services-gain-nothing",
        sentence="Every container drops all capabilities. Only the container with the daemon's socket runs as root.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "a program has only the rights that it needs"),
        limitation="The rule does not prove that no process gains a privilege by a setuid file: Swarm services have "
        "no option for that.",
        checks=(
            *rows(
                SERVICE,
                ("capDrops", drops_all, "do not drop all capabilities; set [ALL]"),
                ("capAdds", not_set, "add capabilities that the service does not need; remove them"),
                below=_CONTAINER,
            ),
            where(
                _has_no_binds,
                SERVICE,
                (f"{_CONTAINER}user", matches(_NOT_ROOT), "is root, or not set; set another user"),
            ),
        ),
    ),
    Rule(
        name="swarm-socket-is-the-rotators",
        sentence="Only one service has the daemon's socket. It has one replica, on a manager, and no port.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "only the rotator can grant secrets"),
        limitation="Members of a manager's group docker may also use its socket.",
        checks=(
            Each(SERVICE, _mounts),
            where(
                binds,
                SERVICE,
                ("taskSpec.placement.constraints", lambda found: _MANAGER in listed(found), f"lack {_MANAGER}; add it"),
                ("endpointSpec.ports", not_set, "let others reach the daemon's socket; remove these ports"),
                ("mode.replicated.replicas", one_of(1), "is not 1: two replicas would rotate at the same time; set 1"),
            ),
        ),
        across=_sockets,
        types=(ROTATOR,),
    ),
    Rule(
        name="swarm-updates-roll-back",
        sentence="Replicas are replaced one at a time, each after its successor is healthy; failed updates roll back.",
        controls=controls("CC8.1 6.5.1 164.312(c)(1) 32(1)(b)", "an update that fails is undone"),
        limitation="The rule does not check how long a rotation takes in a service of many replicas.",
        checks=(
            where(  # two rotators must never run at the same time
                _has_no_binds,
                SERVICE,
                (
                    "updateConfig.order",
                    one_of("start-first"),
                    "stops a replica before its successor is healthy; set start-first",
                ),
                ("updateConfig.failureAction", one_of("rollback"), "leaves a failed replica; set rollback"),
                ("updateConfig.parallelism", one_of(1), "replaces several replicas at a time; set 1"),
                ("rollbackConfig.order", one_of("start-first"), "stops a running replica first; set start-first"),
                (
                    f"{_CONTAINER}healthcheck.tests",
                    lambda tests: tests not in (None, [], ["NONE"]),
                    "is missing; add one",
                ),
            ),
        ),
    ),
)
