"""What a stack's resources are called on Azure: within its limits, and each stack's its own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.azure.names import Names
from tests.unit.azure_ids import SUBSCRIPTION


def names(stack: str = "prod", **more: Any) -> Names:
    return Names(stack=stack, subscription=SUBSCRIPTION, **more)


LONG = "x" * 100


STACKS = ["prod", "a", "Plant_7.eu", LONG, LONG[:-1] + "y", "plant-" * 16, "---", "prod-azure-west"]


@pytest.mark.parametrize("stack", STACKS)
def test_names_are_those_that_azure_takes(stack: str) -> None:
    of = names(stack)

    assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]", of.vault)
    assert re.fullmatch(r"[a-z0-9]{3,24}", of.storage)
    assert re.fullmatch(r"[\w().-]{1,89}[\w()-]", of.group)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", of.workspace)
    for what in ("server", "rotator", "expiry"):  # of apps and jobs
        assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{0,30}[a-z0-9]", of.plain(what))


def test_no_two_stacks_share_a_name() -> None:
    stacks = ["prod", "prod-2", "prod_2", "prod.2", "Prod", LONG, LONG[:-1] + "y", "prod-azure-west", "prod-azure-east"]

    of = [names(stack, resource_group="plant") for stack in stacks]
    for each in zip(*((one.vault, one.storage, one.plain("server")) for one in of), strict=True):
        assert len(set(each)) == len(stacks)


def test_a_stack_made_anew_while_a_deleted_vault_holds_its_name_has_another() -> None:
    assert names(generation=2).vault != names().vault
    assert names(generation=2).storage != names().storage
    assert names(generation=2).workspace != names().workspace, "Azure would give the old one's records back"
    assert names(generation=2).job == names().job, "a job is gone at once"
