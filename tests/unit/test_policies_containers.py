"""The rule for containers of any platform: it fails on the one thing that breaks it, whatever runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from policies.rule import UNKNOWN, Plan
from tests.unit.policy_plans import Break, changed, holds, named, row, shipped, verdicts

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")

PINNED = "stack-images-are-pinned"
POD = ("spec", "template", "spec")
TICK = ("spec", "jobTemplate", "spec", "template", "spec")
LATEST = "registry.example.com/coreflux-mcp-secrets:latest"
NO_TAG = "registry.example.com:5000/coreflux-mcp-secrets"


def by_aws() -> Plan:
    return shipped("prod")


def by_azure() -> Plan:
    return shipped("prod-azure")


def in_a_cluster() -> Plan:
    return shipped("staging")


def in_a_swarm() -> Plan:
    return shipped("prod-swarm")


def image(plan: Callable[[], Plan], at: str, *path: str | int, to: Any, **more: Any) -> Break:
    return row(PINNED, plan, at, *path, "image", to=to, **more)


BREAKS: tuple[Break, ...] = (
    image(by_aws, "aws:ecs/taskDefinition:TaskDefinition", "containerDefinitions", 0, to=LATEST),
    image(by_azure, "app", "template", "containers", 0, to=NO_TAG),
    image(by_azure, "job", "template", "initContainers", 0, to=LATEST),
    image(in_a_cluster, "deployment", *POD, "containers", 0, to=NO_TAG),
    image(in_a_cluster, "rotator-cronjob", *TICK, "containers", 0, to=LATEST),
    image(in_a_swarm, "service", "taskSpec", "containerSpec", to=NO_TAG),
    image(in_a_swarm, "service", "taskSpec", "containerSpec", to=None),
)


@pytest.mark.parametrize("break_", BREAKS, ids=lambda one: one.rule)
def test_one_image_that_is_not_pinned_breaks_the_rule_and_no_other(break_: Break) -> None:
    holds(break_)


def test_a_digest_is_a_pin_whatever_the_tag() -> None:
    digest = f"{LATEST}@sha256:" + "0" * 64

    assert verdicts(changed("deployment", *POD, "containers", 0, "image", to=digest)(in_a_cluster()))[PINNED] == "kept"


@pytest.mark.parametrize(
    ("plan", "at", "path"),
    [
        (by_aws, "aws:ecs/taskDefinition:TaskDefinition", ("containerDefinitions",)),
        (by_azure, "app", ("template",)),
        (in_a_cluster, "deployment", (*POD, "containers")),
        (in_a_swarm, "service", ("taskSpec",)),
    ],
)
def test_containers_that_are_not_known_are_no_good_ones(
    plan: Callable[[], Plan], at: str, path: tuple[str, ...]
) -> None:
    assert verdicts(changed(at, *path, to=UNKNOWN)(plan()))[PINNED] == "unknown"


@pytest.mark.parametrize("stack", ["dev", "dev-aws-local", "dev-vault-local"])
def test_a_stack_without_containers_is_not_judged(stack: str) -> None:
    assert not named(PINNED).applies(shipped(stack))
