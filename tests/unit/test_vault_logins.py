"""How server and rotator log in to Vault: roles, what they are bound to, and how long a token of theirs is good."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.section import PROJECT_FOLDER
from tests.unit.harness import Deployed
from tests.unit.vault_stack import (
    ISSUER,
    by_agent,
    by_external_secrets,
    for_this_machine,
    inputs,
    on_this_machine,
    with_every_option,
)

LOGIN = PROJECT_FOLDER / ".coreflux-mcp-local/login"


def roles(deployed: Deployed) -> dict[str, Any]:
    return {who: inputs(deployed, f"{who}-role") for who in ("server", "rotator")}


def rotators_login(deployed: Deployed) -> Any:
    """Of the rotator's own copy of the manifest: a file beside its timer, or of its pods."""
    made = deployed.resources
    text = (
        made["stack"].inputs["data"]["secretops.json"]
        if "rotator-cronjob" in made
        else made["rotator"].inputs["files"]["config/secretops.json"]
    )
    return json.loads(text)["store"]["login"]


@pytest.mark.parametrize("deployed", [by_agent, on_this_machine, with_every_option])
def test_a_token_has_its_own_policy_alone_and_ends_by_itself(deployed: Any) -> None:
    for who, role in roles(deployed()).items():
        assert role["tokenPolicies"] == [role["roleName"]]
        assert role["roleName"].endswith(f"-{who}")
        assert role["tokenNoDefaultPolicy"] is True
        assert 0 < role["tokenTtl"] <= role["tokenMaxTtl"] <= 86400


def test_pods_log_in_as_their_service_accounts_by_a_method_that_is_there() -> None:
    found = roles(by_agent())

    assert {one["backend"] for one in found.values()} == {"kubernetes"}
    assert found["server"]["boundServiceAccountNames"] == ["coreflux-mcp-server"]
    assert found["rotator"]["boundServiceAccountNames"] == ["coreflux-mcp-rotator"]
    assert {tuple(one["boundServiceAccountNamespaces"]) for one in found.values()} == {("coreflux-mcp",)}
    assert {one["audience"] for one in found.values()} == {"vault"}
    assert by_agent().of_type("vault:index/authBackend:AuthBackend") == []
    assert roles(by_external_secrets())["server"]["boundServiceAccountNames"] == ["coreflux-mcp-sync"]


def test_a_jwt_is_bound_to_issuer_audience_and_subject() -> None:
    made, found = inputs(with_every_option(), "jwt"), roles(with_every_option())

    assert (made["path"], made["oidcDiscoveryUrl"], made["boundIssuer"]) == ("coreflux-mcp-prod-jwt", ISSUER, ISSUER)
    assert found["server"]["boundSubject"] == "system:serviceaccount:coreflux-mcp:coreflux-mcp-server"
    assert found["rotator"]["boundSubject"] == "system:serviceaccount:coreflux-mcp:coreflux-mcp-rotator"
    assert (found["server"]["boundAudiences"], found["server"]["userClaim"]) == (["vault"], "sub")


def test_on_this_machine_a_role_id_is_known_and_a_secret_id_is_nowhere() -> None:
    found = roles(on_this_machine())

    assert found["server"]["backend"] == "coreflux-mcp-dev-approle"
    assert [found[who]["roleId"] for who in ("server", "rotator")] == [
        "coreflux-mcp-dev-server",
        "coreflux-mcp-dev-rotator",
    ]
    assert found["server"]["secretIdTtl"] == 90 * 86400
    folder = on_this_machine().resources["login"].inputs
    assert (folder["root"], folder["files"], folder["lines"]) == (str(LOGIN), {}, {})


def test_only_the_server_unwraps_its_secret_id() -> None:
    deployed = for_this_machine(", namespace: plant, approle: {wrapped: true, server_file: /run/wrapped}")

    assert deployed.exports["references"]["source"] == (
        "vault:vault.example.com:8200/coreflux-mcp-dev/data/mqtt+agent-key,approle=coreflux-mcp-dev-server,"
        "auth=coreflux-mcp-dev-approle,file=/run/wrapped,wrapped,namespace=plant"
    )
    assert rotators_login(deployed)["wrapped"] is False, "a rotator logs in each hour"
