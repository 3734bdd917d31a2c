"""Who may what in Vault, as the program asks for it. Whether the server thinks so is for tests/stacks."""

from __future__ import annotations

import pytest

from tests.unit.harness import Deployed
from tests.unit.vault_stack import (
    GOLDEN,
    by_agent,
    by_external_secrets,
    every_policy,
    manifest_of,
    on_this_machine,
    policies,
    with_every_option,
)

OWN = {"auth/token/lookup-self": ["read"], "auth/token/renew-self": ["update"], "auth/token/revoke-self": ["update"]}
STACKS = {each.__name__: each for each in (by_agent, by_external_secrets, on_this_machine, with_every_option)}


@pytest.fixture(params=STACKS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    """Each kind of stack."""
    made: Deployed = STACKS[request.param]()
    return made


def of(deployed: Deployed, who: str) -> dict[str, list[str]]:
    (found,) = [paths for name, paths in policies(deployed).items() if name.endswith(f"-{who}")]
    return found


def test_there_is_a_policy_for_each_of_the_three_and_no_wildcard_for_a_program(deployed: Deployed) -> None:
    base = f"coreflux-mcp-{manifest_of(deployed).stack}"

    assert sorted(policies(deployed)) == [f"{base}-operator", f"{base}-rotator", f"{base}-server"]
    for who in ("server", "rotator"):
        assert not [path for path, may in of(deployed, who).items() if {"*", "+"} & set(path) or "list" in may]


def test_the_server_reads_the_current_value_of_its_secrets_and_nothing_else() -> None:
    data = {f"coreflux-mcp-prod/data/{secret}": ["read"] for secret in ("mqtt", "agent-key", "http-token")}
    polled = {
        f"coreflux-mcp-dev/{kind}/{secret}": ["read"]
        for kind in ("data", "metadata")
        for secret in ("mqtt", "agent-key")
    }

    assert of(by_agent(), "server") == of(by_external_secrets(), "server") == {**data, **OWN}
    assert of(on_this_machine(), "server") == {**polled, **OWN}, "a launcher looks whether there is a newer one"


def test_the_rotator_keeps_each_secret_by_its_paths_and_holds_the_lease(deployed: Deployed) -> None:
    manifest = manifest_of(deployed)
    mount = f"coreflux-mcp-{manifest.stack}"
    data, notes = ["create", "read", "update"], ["create", "read", "update", "patch"]
    expected = {**OWN, f"{mount}/data/rotator/lease": data, f"{mount}/metadata/rotator/lease": notes}
    for secret in manifest.secrets:
        for path, gone in ((secret.name, []), (f"pending/{secret.name}", ["delete"])):
            expected |= {f"{mount}/data/{path}": data, f"{mount}/metadata/{path}": [*notes, *gone]}
        expected |= {f"{mount}/destroy/{secret.name}": ["update"]}
        if secret.issuer:
            expected |= {f"{mount}-pki/sign/client": ["update"]}

    assert of(deployed, "rotator") == expected


def test_an_operator_may_what_the_rotator_may_and_purge(deployed: Deployed) -> None:
    rotator, operator = of(deployed, "rotator"), of(deployed, "operator")

    assert [path for path, may in rotator.items() if not set(may) <= set(operator[path])] == []
    for secret in manifest_of(deployed).secrets:
        for path in (secret.name, f"pending/{secret.name}"):
            assert "delete" in operator[f"coreflux-mcp-{manifest_of(deployed).stack}/metadata/{path}"]


def test_nobody_of_the_stack_may_change_a_policy_or_a_role(deployed: Deployed) -> None:
    for paths in policies(deployed).values():
        for path, may in paths.items():
            harmless = path.startswith(("auth/token/", "sys/audit-hash/")) or "secret-id" in path
            if path.startswith(("sys/", "auth/")) and not harmless:
                looks = {"list"} if path == "sys/policies/acl" else {"sudo"} if path == "sys/audit" else set[str]()
                assert set(may) <= {"read", *looks}, path


def test_an_operator_makes_secret_ids_and_takes_them_away_where_there_are_any() -> None:
    role = "auth/coreflux-mcp-dev-approle/role/coreflux-mcp-dev-rotator"

    operator = of(on_this_machine(), "operator")
    assert operator[f"{role}/secret-id"] == ["create", "update", "list"]
    for gone in ("secret-id/destroy", "secret-id-accessor/destroy"):
        assert operator[f"{role}/{gone}"] == ["update"], "whoever may make one may take one away"
    assert not [path for path in of(by_agent(), "operator") if "secret-id" in path]


def test_what_a_reviewer_is_shown_is_what_the_program_asks_for() -> None:
    command = "python -m tests.unit.vault_stack > tests/unit/golden/vault-policies.txt"
    assert GOLDEN.read_text() == every_policy(), command
