"""The rules for a Docker Swarm: each fails on the one thing that breaks it, and says so where that is not known yet.

That all shipped stacks keep all of them is for tests/unit/test_policy_pack.py.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from policies.rule import UNKNOWN, Enforcement, Environment, Plan
from tests.unit.policy_plans import (
    Break,
    changed,
    holds,
    named,
    plan_of,
    planned,
    row,
    shipped,
    verdicts,
    without,
)
from tests.unit.swarm_stack import ROTATOR, SERVER, V3, on_swarm

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

BOX = ("taskSpec", "containerSpec")
PUBLISHED = """
config:
  store: {kind: swarm}
  server: {kind: swarm, image: "registry.example.com/mcp:0.1.0", publish: ingress, port: 8000, replicas: 1}
  broker: {kind: coreflux, host: mqtt.example.com}
"""
A_SOCKET = {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}


@cache
def both() -> Plan:
    """A server that has a version attached, and a rotator that is a service."""
    return plan_of(on_swarm(", rotator: service", attached=[V3]), "prod")


@cache
def published() -> Plan:
    """By a port of every node."""
    return planned(PUBLISHED, "prod")


def server(rule: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"swarm-{rule}", both, SERVER, *path, to=to, **more)


def rotator(rule: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"swarm-{rule}", both, ROTATOR, *path, to=to, **more)


BREAKS: tuple[Break, ...] = (
    server("secrets-are-files", *BOX, "env", "MQTT_PASSWORD", to="$OTHER", also="stack-holds-no-value"),
    server("secrets-are-files", *BOX, "secrets", 0, "fileMode", to=0o444),
    server("secrets-are-files", *BOX, "secrets", 0, "fileMode", to=None),
    server("secrets-are-files", *BOX, "secrets", 0, "fileUid", to="0"),
    server("root-is-read-only", *BOX, "readOnly", to=False),
    rotator("root-is-read-only", *BOX, "readOnly", to=None),
    server("services-gain-nothing", *BOX, "capDrops", to=["NET_RAW"]),
    server("services-gain-nothing", *BOX, "capDrops", to=None),
    rotator("services-gain-nothing", *BOX, "capAdds", to=["SYS_ADMIN"]),
    server("services-gain-nothing", *BOX, "user", to="0:0", also="swarm-secrets-are-files"),
    server("services-gain-nothing", *BOX, "user", to=None, also="swarm-secrets-are-files"),
    rotator("socket-is-the-rotators", *BOX, "mounts", 1, "source", to="/var/lib/docker"),
    Break(rule="swarm-socket-is-the-rotators", plan=both, change=without(ROTATOR)),
    rotator("socket-is-the-rotators", *BOX, "mounts", 1, "target", to="/srv/docker.sock"),
    rotator("socket-is-the-rotators", *BOX, "env", "DOCKER_HOST", to="unix:///srv/docker.sock"),
    rotator("socket-is-the-rotators", "taskSpec", "placement", "constraints", to=["node.role==worker"]),
    rotator("socket-is-the-rotators", "endpointSpec", "ports", to=[{"targetPort": 8080, "protocol": "tcp"}]),
    rotator("socket-is-the-rotators", "mode", "replicated", "replicas", to=2),
    row(
        "swarm-publishes-one-port",
        published,
        SERVER,
        "endpointSpec",
        "ports",
        to=[{"targetPort": 8080, "protocol": "tcp"}, {"targetPort": 8080, "protocol": "tcp"}],
    ),
    row("swarm-publishes-one-port", published, SERVER, "endpointSpec", "ports", 0, "targetPort", to=22),
    row("swarm-publishes-one-port", published, SERVER, "endpointSpec", "ports", 0, "protocol", to="udp"),
    Break(rule="swarm-network-is-encrypted", plan=both, change=without("network")),
    row("swarm-network-is-encrypted", both, "network", "options", "encrypted", to=None),
    row("swarm-network-is-encrypted", both, "network", "options", to=None),
    row("swarm-network-is-encrypted", both, "network", "driver", to="bridge"),
    server("updates-roll-back", "updateConfig", "order", to="stop-first"),
    server("updates-roll-back", "updateConfig", "failureAction", to="continue"),
    server("updates-roll-back", "updateConfig", "parallelism", to=2),
    server("updates-roll-back", "rollbackConfig", "order", to=None),
    server("updates-roll-back", *BOX, "healthcheck", "tests", to=["NONE"]),
    server("updates-roll-back", *BOX, "healthcheck", "tests", to=None),
    server("logs-are-kept", "taskSpec", "logDriver", "name", to="none"),
    row("swarm-provider-has-no-login", both, "swarm", "registryAuth", to=[{"address": "r", "username": "somebody"}]),
    row("swarm-provider-has-no-login", both, "swarm", "registryAuth", to='[{"address": "r", "password": ""}]'),
    row("swarm-provider-has-no-login", both, "swarm", "keyMaterial", to="a key"),
)


@pytest.mark.parametrize("break_", BREAKS, ids=lambda one: one.rule)
def test_one_thing_broken_breaks_its_rule_and_no_other(break_: Break) -> None:
    holds(break_)


def test_a_second_service_with_the_socket_is_one_too_many() -> None:
    with_socket = changed(SERVER, *BOX, "mounts", to=[A_SOCKET])
    asks = changed(SERVER, *BOX, "env", "DOCKER_HOST", to="unix:///var/run/docker.sock")

    def change(plan: Plan) -> Plan:
        return asks(with_socket(plan))

    assert verdicts(change(both()))["swarm-socket-is-the-rotators"] == "broken"

    alone = changed(SERVER, "taskSpec", "placement", "constraints", to=["node.role==manager"])(
        changed(SERVER, "mode", "replicated", "replicas", to=1)(change(shipped("prod-swarm")))
    )
    assert verdicts(alone)["swarm-socket-is-the-rotators"] == "kept", "one that is alone, on a manager, may have it"


def test_a_socket_may_have_any_path() -> None:
    plan = plan_of(on_swarm(", rotator: service, socket: /run/docker", attached=[V3]), "prod")

    assert verdicts(plan)["swarm-socket-is-the-rotators"] == "kept"


def test_a_login_without_a_password_is_none() -> None:
    plan = changed("swarm", "registryAuth", to='[{"address": "registry.example.com"}]')(both())

    assert verdicts(plan)["swarm-provider-has-no-login"] == "kept"


def test_a_plain_network_is_for_development() -> None:
    plain = changed("network", "options", to=None)(both())

    assert named("swarm-network-is-encrypted").enforcement is Enforcement.ADVISORY, "the page offers encrypted: false"
    assert not named("swarm-network-is-encrypted").applies(replace(plain, environment=Environment.DEVELOPMENT))
    assert verdicts(replace(plain, environment=Environment.STAGING))["swarm-network-is-encrypted"] == "broken"


def test_containers_that_are_not_known_are_no_good_ones() -> None:
    said = verdicts(changed(SERVER, "taskSpec", to=UNKNOWN)(both()))

    for rule in (
        "secrets-are-files",
        "root-is-read-only",
        "services-gain-nothing",
        "logs-are-kept",
    ):
        assert said[f"swarm-{rule}"] == "unknown", rule


@pytest.mark.parametrize("stack", ["prod-swarm", "prod-aws-swarm", "prod-vault-swarm"])
def test_each_stack_with_a_swarm_is_judged_by_all_of_them(stack: str) -> None:
    said = verdicts(shipped(stack))

    assert {rule: said.get(rule) for rule in {one.rule for one in BREAKS}} == {one.rule: "kept" for one in BREAKS}


@pytest.mark.parametrize("plan", [both, published])
def test_what_an_option_adds_keeps_all_rules(plan: Any) -> None:
    assert set(verdicts(plan()).values()) == {"kept"}


@pytest.mark.parametrize("stack", ["dev", "prod", "staging", "dev-vault-local"])
def test_a_stack_without_a_swarm_is_judged_by_none_of_them(stack: str) -> None:
    for rule in {one.rule for one in BREAKS}:
        assert not named(rule).applies(shipped(stack)), rule
