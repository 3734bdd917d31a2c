"""The Vault platform under mocks: what the program asks the engine for. No server is asked anything here.

The other test_vault_*.py each have a part of it; who may what is for test_vault_policies.py.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pulumi
import pytest

from tests.unit.harness import Deployed, ca_file, texts
from tests.unit.vault_stack import (
    ADDRESS,
    by_agent,
    by_external_secrets,
    for_this_machine,
    inputs,
    manifest_of,
    on_this_machine,
    store_of,
    vaults,
    with_every_option,
    wrong,
)

AUDIT = "vault:index/audit:Audit"
NEVER = (
    "vault:appRole/authBackendRoleSecretID:AuthBackendRoleSecretID",
    "vault:kv/secretV2:SecretV2",
    "vault:generic/secret:Secret",
    "vault:index/token:Token",
    "vault:pkiSecret/secretBackendCert:SecretBackendCert",
)
"""Resources whose state has a value."""
KINDS = {each.__name__: each for each in (by_agent, by_external_secrets, on_this_machine, with_every_option)}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=KINDS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    """Each kind of stack."""
    made: Deployed = KINDS[request.param]()
    return made


def test_the_server_that_the_file_names_is_asked_and_no_token_is_an_input(ca: Path) -> None:
    provider = inputs(for_this_machine(f', namespace: plant, ca_file: "{ca}"'), "vault")

    assert provider == {
        "address": ADDRESS,
        "namespace": "plant",
        "caCertFile": str(ca),
        "setNamespaceFromToken": "false",
        "skipChildToken": "true",
        "skipTlsVerify": "false",
        "maxRetries": "2",
        "maxLeaseTtlSeconds": "1200",
    }


@pytest.mark.parametrize(("store", "variable"), [("", "admin"), (", namespace: plant", "admin/")])
def test_a_variable_that_names_another_namespace_is_refused_before_anything_is_made(
    store: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", variable)

    with pytest.raises(pulumi.RunError, match="VAULT_NAMESPACE is admin"):
        for_this_machine(store)


def test_every_input_is_of_the_types_of_pulumis_own_sdk_and_by_one_provider(deployed: Deployed) -> None:
    assert wrong(deployed) == []
    assert [one.name for one in vaults(deployed) if one.provider != "vault"] == []


def test_a_preview_that_knows_no_id_asks_for_the_same() -> None:
    made, before = with_every_option(), with_every_option(preview=True)

    assert before.resources.keys() == made.resources.keys()
    for output in ("secretops", "references", "next", "trail", "gaps", "schedule", "server"):
        assert before.exports[output] == made.exports[output]


def test_no_resource_input_or_output_holds_a_value(deployed: Deployed) -> None:
    assert [one.name for one in vaults(deployed) if one.type in NEVER] == []
    assert not [name for one in vaults(deployed) for name in texts(one.inputs) if re.fullmatch("(?i)secret_?id", name)]
    assert [one.name for one in deployed.resources.values() if one.secret_inputs] == []
    assert deployed.secret_exports == ()


def test_nothing_of_the_deployers_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    monkeypatch.setenv("VAULT_SKIP_VERIFY", "true")
    for name in ("VAULT_TOKEN", "BAO_TOKEN", "VAULT_SECRET_ID", "TERRAFORM_VAULT_AUTH_JWT", "MQTT_PASSWORD"):
        monkeypatch.setenv(name, canary)

    made = for_this_machine()

    assert inputs(made, "vault")["skipTlsVerify"] == "false"
    assert canary not in "\n".join([*texts([vars(each) for each in made.resources.values()]), *texts(made.exports)])


def test_the_mount_is_kv_2_with_check_and_set() -> None:
    made = inputs(by_agent(), "mount")
    assert (made["path"], made["type"], made["options"]) == ("coreflux-mcp-prod", "kv", {"version": "2"})
    kept = inputs(by_agent(), "versions")
    assert kept == {"mount": "coreflux-mcp-prod", "maxVersions": 5, "casRequired": True, "deleteVersionAfter": 0}
    assert inputs(with_every_option(), "versions")["maxVersions"] == 10


def test_in_production_what_holds_values_is_protected() -> None:
    protected = {one.name for one in vaults(with_every_option()) if one.protected}

    assert protected == {"mount", "pki-mount", "root-mount", "root-certificate", "audit-1"}
    assert [one.name for one in vaults(on_this_machine()) if one.protected] == []


def test_the_manifest_says_where_everything_is_and_who_reads_it() -> None:
    store = store_of(manifest_of(by_agent()))
    server, rotator = "kubernetes/coreflux-mcp-prod-server", "kubernetes/coreflux-mcp-prod-rotator"

    where = (store.address, store.mount, store.lease, store.login)
    assert where == (ADDRESS, "coreflux-mcp-prod", "rotator/lease", None)
    assert store.secrets == {one: one for one in ("broker-admin", "mqtt", "agent-key", "http-token")}
    assert store.pending == {one: f"pending/{one}" for one in store.secrets}
    assert store.fields["mqtt"] == ("username", "password")
    assert store.readers["mqtt"] == (server, rotator, "userpass/alice")
    for path in ("broker-admin", "pending/mqtt", "rotator/lease"):
        assert store.readers[path] == (rotator, "userpass/alice")


def test_two_audit_devices_are_enabled_in_production_by_the_api_of_vault() -> None:
    made = [inputs(by_agent(), f"audit-{at}") for at in (1, 2)]

    assert [one["options"] for one in made] == [
        {"file_path": "/vault/audit/coreflux-mcp-prod.log", "mode": "0600"},
        {"file_path": "stdout"},
    ]
    assert [(one["type"], one["path"]) for one in made] == [("file", f"coreflux-mcp-prod-{at}") for at in (1, 2)]
    assert on_this_machine().of_type(AUDIT) == []
    assert len(for_this_machine(", audit_files: [stdout]").of_type(AUDIT)) == 1
