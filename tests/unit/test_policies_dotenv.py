"""The rules for a folder of this machine: each fails on the one thing that breaks it, and says so where that is not
known yet.

That all shipped stacks keep all of them is for tests/unit/test_policy_pack.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from policies.rule import CONCEALED, UNKNOWN, Environment, Plan
from tests.unit.policy_plans import Break, changed, holds, named, planned, row, shipped, verdicts, without

FOLDER, ROTATOR, ENTRY = "secrets-folder", "rotator", "server-files"
TIMER, SERVICE = (f"systemd/coreflux-mcp-secrets-dev.{kind}" for kind in ("timer", "service"))
BY_FILES = """
config:
  store: {kind: dotenv, deliver: files, root: /srv/coreflux-mcp}
  server: {kind: local}
  broker: {kind: mosquitto, host: mqtt.example.com, client_certificate: true}
  issuer: {kind: private-ca}
"""


def dev() -> Plan:
    return shipped("dev")


def beside_vault() -> Plan:
    """A rotator of this machine, whose secrets are in Vault."""
    return shipped("dev-vault-local")


def on(rule: str, at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(f"dotenv-{rule}", dev, at, *path, to=to, **more)


def but(line: str) -> Any:
    """The text without it."""
    return lambda text: text.replace(line, "")


BREAKS: tuple[Break, ...] = (
    Break(
        rule="dotenv-is-for-development",
        plan=dev,
        change=lambda plan: replace(plan, environment=Environment.PRODUCTION),
        also=frozenset({"stack-speaks-tls-to-the-broker"}),
    ),
    on("files-are-the-owners", FOLDER, "modes", "config/.env", to="644"),
    on("files-are-the-owners", FOLDER, "modes", "certs/client.key", to="640"),
    on("files-are-the-owners", FOLDER, "modes", "certs/ca.crt", to="666"),
    on("files-are-the-owners", FOLDER, "modes", to={}),
    on("files-are-the-owners", ENTRY, "modes", to={"config/.env": "644"}),
    Break(
        rule="dotenv-folder-is-one-stacks",
        plan=dev,
        change=changed(FOLDER, "stack", to="another"),
        unknown=changed(FOLDER, "folders", to=UNKNOWN),
    ),
    on("folder-is-one-stacks", FOLDER, "stack", to="another"),
    on("folder-is-one-stacks", FOLDER, "stack", to=""),
    on("folder-is-one-stacks", FOLDER, "root", to="/etc"),
    on("folder-is-one-stacks", ENTRY, "root", to="coreflux-mcp"),
    on("folder-is-one-stacks", ENTRY, "root", to="/srv/../etc/coreflux-mcp"),
    on(
        "public-files-are-public",
        ENTRY,
        "files",
        "certs/client.key",
        to="-----BEGIN PRIVATE KEY-----",
        also="stack-holds-no-value",
    ),
    on("public-files-are-public", ENTRY, "files", "config/mcp.json", to=CONCEALED, also="stack-holds-no-value"),
    on("public-files-are-public", ENTRY, "files", "../another/mcp.json", to="{}", unknown=False),
    on("public-files-are-public", ENTRY, "files", to={"/etc/coreflux/mcp.json": "{}"}),
    on("public-files-are-public", ENTRY, "lines", "MQTT_PASSWORD", to="it", also="stack-holds-no-value"),
    on("ticks-by-the-hour", ROTATOR, "files", TIMER, to=but("OnCalendar=hourly")),
    on("ticks-by-the-hour", ROTATOR, "files", TIMER, to=but("Persistent=yes")),
    on("ticks-by-the-hour", ROTATOR, "files", SERVICE, to=but("tick --scheduled")),
    on("ticks-by-the-hour", ROTATOR, "files", SERVICE, to=but("UMask=0077")),
    on("ticks-by-the-hour", ROTATOR, "files", SERVICE, to=but("LimitCORE=0")),
    on("ticks-by-the-hour", ROTATOR, "files", SERVICE, to=but("NoNewPrivileges=yes")),
    on("ticks-by-the-hour", ROTATOR, "files", to={}),
    row("dotenv-ticks-by-the-hour", beside_vault, ROTATOR, "files", "systemd/another.timer", to="", unknown=False),
)


@pytest.mark.parametrize("break_", BREAKS, ids=lambda one: one.rule)
def test_one_thing_broken_breaks_its_rule_and_no_other(break_: Break) -> None:
    holds(break_)


@pytest.mark.parametrize("plan", [dev, beside_vault])
def test_a_machine_that_has_to_rotate_and_has_no_rotator_is_found(plan: Callable[[], Plan]) -> None:
    assert verdicts(without(ROTATOR)(plan()))["dotenv-ticks-by-the-hour"] == "broken"


def test_a_manifest_that_is_not_known_leaves_the_folder_a_store() -> None:
    plan = changed("", "secretops", to=UNKNOWN)(dev())

    assert verdicts(plan)["dotenv-files-are-the-owners"] == "kept"
    assert verdicts(changed(FOLDER, "modes", "config/.env", to="644")(plan))["dotenv-files-are-the-owners"] == "broken"


@pytest.mark.parametrize("stack", ["dev", "staging-on-files"])
def test_each_stack_with_a_folder_is_judged_by_all_of_them(stack: str) -> None:
    plan = dev() if stack == "dev" else planned(BY_FILES, stack)
    said = verdicts(plan)

    assert {rule: said.get(rule) for rule in {one.rule for one in BREAKS}} == {one.rule: "kept" for one in BREAKS}


@pytest.mark.parametrize("stack", ["prod", "staging", "prod-swarm", "prod-vault-kubernetes"])
def test_a_stack_without_a_folder_is_judged_by_none_of_them(stack: str) -> None:
    for rule in {one.rule for one in BREAKS}:
        assert not named(rule).applies(shipped(stack)), rule
