"""What a stack's resources are called on Azure: within its limits, and each stack's its own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.azure.names import Names
from tests.unit.azure_ids import SUBSCRIPTION

LONG = "x" * 100
STACKS = ["prod", "a", "Plant_7.eu", LONG, LONG[:-1] + "y", "plant-" * 16, "---", "prod-azure-west", "prod-azure-east"]


def names(stack: str = "prod", **more: Any) -> Names:
    return Names(stack=stack, subscription=SUBSCRIPTION, **more)


@pytest.mark.parametrize("stack", STACKS)
def test_names_are_those_that_azure_takes_and_no_other_stacks(stack: str) -> None:
    of = names(stack)

    assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]", of.vault)
    assert re.fullmatch(r"[a-z0-9]{3,24}", of.storage)
    assert re.fullmatch(r"[\w().-]{1,89}[\w()-]", of.group)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", of.workspace)
    for what in ("server", "rotator", "expiry"):  # of apps and jobs
        assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{0,30}[a-z0-9]", of.plain(what))
    for other in (names(each) for each in STACKS if each != stack):
        assert not {of.vault, of.storage, of.plain("server")} & {other.vault, other.storage, other.plain("server")}


def test_a_stack_made_anew_while_a_deleted_vault_holds_its_name_has_another() -> None:
    first, second = names(), names(generation=2)
    for name in ("vault", "storage", "workspace"):
        assert getattr(first, name) != getattr(second, name), "Azure would give the old one's records back"
    assert first.job == second.job, "a job is gone at once"
