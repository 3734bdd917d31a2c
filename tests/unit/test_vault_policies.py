"""Who may what in Vault, as the program asks for it. Whether the server thinks so is for tests/stacks."""

from __future__ import annotations

import pytest

from secretops.manifest import Reader
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

OWN = {
    "auth/token/lookup-self": ["read"],
    "auth/token/renew-self": ["update"],
    "auth/token/revoke-self": ["update"],
}
STACKS = {
    "by an agent": by_agent,
    "by External Secrets": by_external_secrets,
    "on this machine": on_this_machine,
    "with every option": with_every_option,
}


@pytest.fixture(params=STACKS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    """Each kind of stack."""
    return STACKS[request.param]()


def of(deployed: Deployed, who: str) -> dict[str, list[str]]:
    (found,) = [paths for name, paths in policies(deployed).items() if name.endswith(f"-{who}")]
    return found


def test_there_is_a_policy_for_each_of_the_three_and_no_other(deployed: Deployed) -> None:
    base = f"coreflux-mcp-{manifest_of(deployed).stack}"

    assert sorted(policies(deployed)) == [f"{base}-operator", f"{base}-rotator", f"{base}-server"]


def test_server_and_rotator_have_no_wildcard_and_may_list_nothing(deployed: Deployed) -> None:
    for who in ("server", "rotator"):
        for path, may in of(deployed, who).items():
            assert not {"*", "+"} & set(path), path
            assert not {"list", "sudo", "delete" if "/metadata/pending/" not in path else ""} & set(may), path


def test_the_server_reads_the_current_value_of_its_secrets_and_nothing_else() -> None:
    read = ("mqtt", "agent-key", "http-token")
    data = {f"coreflux-mcp-prod/data/{secret}": ["read"] for secret in read}

    assert of(by_agent(), "server") == of(by_external_secrets(), "server") == {**data, **OWN}


def test_a_launcher_that_asks_by_itself_may_look_whether_there_is_a_newer_one() -> None:
    paths = {
        f"coreflux-mcp-dev/{kind}/{secret}": ["read"]
        for kind in ("data", "metadata")
        for secret in ("mqtt", "agent-key")
    }

    assert of(on_this_machine(), "server") == {**paths, **OWN}


def test_an_agent_has_the_servers_certificate_made_where_there_is_a_pki() -> None:
    server = of(with_every_option(), "server")

    assert server["coreflux-mcp-prod-pki/issue/client"] == ["create", "update"]
    assert "coreflux-mcp-prod/data/client-cert" not in server, "that version is the rotator's own"


def test_no_server_reaches_what_is_not_for_it(deployed: Deployed) -> None:
    manifest, server = manifest_of(deployed), of(deployed, "server")

    for secret in manifest.secrets:
        if Reader.SERVER not in secret.readers:
            assert not [path for path in server if path.endswith(f"/{secret.name}")]
    assert not [path for path in server if "pending" in path or "rotator" in path]


def test_the_rotator_keeps_each_secret_by_its_paths_and_holds_the_lease(deployed: Deployed) -> None:
    manifest, rotator = manifest_of(deployed), of(deployed, "rotator")
    mount = f"coreflux-mcp-{manifest.stack}"
    expected = dict(OWN)
    for secret in manifest.secrets:
        for path, gone in ((secret.name, []), (f"pending/{secret.name}", ["delete"])):
            expected |= {
                f"{mount}/data/{path}": ["create", "read", "update"],
                f"{mount}/metadata/{path}": ["create", "read", "update", "patch", *gone],
            }
        expected |= {f"{mount}/destroy/{secret.name}": ["update"]}
        if secret.issuer:
            expected |= {f"{mount}-pki/sign/client": ["update"]}
    expected |= {
        f"{mount}/data/rotator/lease": ["create", "read", "update"],
        f"{mount}/metadata/rotator/lease": ["create", "read", "update", "patch"],
    }

    assert rotator == expected


def test_an_operator_may_what_the_rotator_may_and_purge(deployed: Deployed) -> None:
    rotator, operator = of(deployed, "rotator"), of(deployed, "operator")

    for path, may in rotator.items():
        assert set(may) <= set(operator[path]), path
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
    assert GOLDEN.read_text() == every_policy(), (
        "python -m tests.unit.vault_stack > tests/unit/golden/vault-policies.txt"
    )
