"""The Azure store's trail and its alerts. Under mocks; what the queries find is for test_azure_queries.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.azure_ids import group_id
from tests.unit.azure_stack import inputs, manifest_of, production, store_of, with_every_option
from tests.unit.harness import Deployed

RULE = "azure-native:monitor:ScheduledQueryRule"


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return production()


@pytest.fixture(scope="module")
def everything() -> Deployed:
    return with_every_option()


def test_every_read_is_logged_into_the_stacks_workspace_for_as_long_as_it_says(
    prod: Deployed, everything: Deployed
) -> None:
    audit = inputs(prod, "vault-audit")

    assert audit["logs"] == [{"categoryGroup": "audit", "enabled": True}]
    assert audit["logAnalyticsDestinationType"] == "Dedicated"
    assert audit["resourceUri"].endswith(inputs(prod, "vault")["vaultName"])
    assert audit["workspaceId"].endswith("/workspaces/" + inputs(prod, "workspace")["workspaceName"])
    assert inputs(prod, "workspace")["retentionInDays"] == 365


def test_what_should_not_happen_is_looked_for_and_told(prod: Deployed) -> None:
    rules = {one.name.removeprefix("alert-"): one.inputs for one in prod.of_type(RULE)}

    assert rules.keys() == {
        *("undeclared-read", "denied-read", "deletion", "near-expiry", "expired"),
        *("tick-failed", "tick-overdue", "tick-missing"),
    }
    (group,) = {tuple(rule["actions"]["actionGroups"]) for rule in rules.values()}
    assert group[0].endswith("/actionGroups/coreflux-prod-told")
    for what, rule in rules.items():
        (condition,) = rule["criteria"]["allOf"]
        assert rule["scopes"] == [inputs(prod, "vault-audit")["workspaceId"]]
        found = ("LessThan", 1) if what == "tick-missing" else ("GreaterThan", 0)
        assert (condition["operator"], condition["threshold"]) == found


def test_undeclared_readers_are_all_but_those_that_secretops_is_told_of(prod: Deployed) -> None:
    (condition,) = inputs(prod, "alert-undeclared-read")["criteria"]["allOf"]
    declared = {
        f'"{secret}|{who}"' for secret, readers in store_of(manifest_of(prod)).readers.items() for who in readers
    }

    listed = re.search(r"!in \((.*)\)", condition["query"])
    assert listed
    assert set(listed[1].split(", ")) == declared
    assert [one["name"] for one in condition["dimensions"]] == ["Who", "Secret"]


def test_changes_of_roles_the_vault_or_the_trail_are_told(prod: Deployed, everything: Deployed) -> None:
    alert = inputs(prod, "alert-access-change")
    *_, operations = alert["condition"]["allOf"]
    published = json.loads(Path(__file__).with_name("azure_tables.json").read_text())["access_changes"]
    listed = [one.lower() for names in published.values() if isinstance(names, list) for one in names]

    assert alert["scopes"] == [group_id("coreflux-mcp-prod")]
    assert inputs(everything, "alert-access-change")["scopes"] == [group_id("plant")]
    assert {one["field"] for one in operations["anyOf"]} == {"operationName"}
    assert sorted(one["equals"].lower() for one in operations["anyOf"]) == sorted(listed), "each by Azure's own name"
    (told,) = inputs(prod, "alert-deletion")["actions"]["actionGroups"]
    assert alert["actions"]["actionGroups"] == [{"actionGroupId": told}]
