"""The Vault platform under mocks: the resources that the program registers."""

import base64
import secrets
from pathlib import Path
from typing import Any, cast

import pulumi
import pytest

from secretops.errors import UsageError
from secretops.platform import OpenedStack
from secretops.platforms.vault.value_lookup import open_value_trail
from tests.unit.harness import Deployed, ca_file, texts
from tests.unit.vault_stack import (
    ADDRESS,
    by_agent,
    by_external_secrets,
    for_pods,
    for_this_machine,
    inputs,
    manifest_of,
    on_this_machine,
    refusals,
    store_of,
    vaults,
    with_every_option,
    wrong,
)

AUDIT = "vault:index/audit:Audit"
# Resources whose state has a value.
NEVER = (
    "vault:appRole/authBackendRoleSecretID:AuthBackendRoleSecretID",
    "vault:kv/secretV2:SecretV2",
    "vault:generic/secret:Secret",
    "vault:index/token:Token",
    "vault:pkiSecret/secretBackendCert:SecretBackendCert",
)


KINDS = {each.__name__: each for each in (by_agent, by_external_secrets, on_this_machine, with_every_option)}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(params=KINDS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    made: Deployed = KINDS[request.param]()
    return made


def test_provider_has_the_declared_server_and_no_token(ca: Path) -> None:
    provider = inputs(for_this_machine(f', namespace: plant, ca_file: "{ca}"'), "vault")
    assert provider == {
        "address": ADDRESS, "namespace": "plant", "caCertFile": str(ca), "setNamespaceFromToken": "false",
        "skipChildToken": "true", "skipTlsVerify": "false", "maxRetries": "2", "maxLeaseTtlSeconds": "1200",
    }  # fmt: skip


@pytest.mark.parametrize(("store", "variable"), [("", "admin"), (", namespace: plant", "admin/")])
def test_foreign_namespace_variable_is_refused(store: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", variable)
    with pytest.raises(pulumi.RunError, match="VAULT_NAMESPACE is admin"):
        for_this_machine(store)


def test_every_input_is_of_the_types_of_pulumis_own_sdk_and_by_one_provider(deployed: Deployed) -> None:
    assert wrong(deployed) == []
    assert [one.name for one in vaults(deployed) if one.provider != "vault"] == []


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
    versions = inputs(by_agent(), "versions")
    assert versions == {"mount": "coreflux-mcp-prod", "maxVersions": 5, "casRequired": True, "deleteVersionAfter": 0}
    assert inputs(with_every_option(), "versions")["maxVersions"] == 10


def test_resources_with_values_are_protected_in_production() -> None:
    protected = {one.name for each in (with_every_option(), by_agent()) for one in vaults(each) if one.protected}
    assert protected == {"mount", "pki-mount", "root-mount", "root-certificate", "audit-1", "audit-2"}
    assert [one.name for one in vaults(on_this_machine()) if one.protected] == []


def test_manifest_has_every_location_and_reader() -> None:
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
    in_namespace = with_every_option()
    assert in_namespace.of_type(AUDIT) == [], "only the root namespace has some"
    assert "vault audit enable -path=coreflux-mcp-prod-1 file " in in_namespace.exports["trail"]["policy"]
    with pytest.raises(UsageError, match=r"\[vault-value-lookup-namespace\]"):
        open_value_trail(cast(OpenedStack, None), store_of(manifest_of(in_namespace)), "mqtt", "")


PREFIX = "vault.hashicorp.com/"


def template(deployed: Deployed) -> Any:
    return inputs(deployed, "deployment")["spec"]["template"]


def annotations(deployed: Deployed) -> dict[str, str]:
    found = template(deployed)["metadata"]["annotations"]
    return {key.removeprefix(PREFIX): text for key, text in found.items() if key.startswith(PREFIX)}


def egress(deployed: Deployed, name: str) -> list[Any]:
    found = inputs(deployed, name)["spec"]["egress"]
    return [one for one in found if {"port": 8200, "protocol": "TCP"} in one["ports"]]


def test_agent_is_injected_with_the_servers_role_and_renews() -> None:
    from components.kubernetes import pods  # imports the SDK

    found = annotations(by_agent())
    assert found["agent-inject"] == "true"
    assert (found["auth-type"], found["auth-path"]) == ("kubernetes", "auth/kubernetes")
    assert (found["role"], found["service"]) == ("coreflux-mcp-prod-server", ADDRESS)
    assert found["agent-run-as-user"] == found["agent-run-as-group"] == str(pods.USER)
    platform = annotations(for_pods(server=", run_as: platform"))
    assert platform["agent-set-security-context"] == "false" and "agent-run-as-user" not in platform
    assert found["agent-pre-populate"] == "false", "the pod starts before there are values"
    assert found["template-config-exit-on-retry-failure"] == "false"
    assert found["template-static-secret-render-interval"] == "30s"


def test_each_secret_is_one_file_so_that_no_reader_sees_a_torn_pair() -> None:
    found = annotations(by_agent())
    assert found["agent-inject-secret-mqtt"] == "coreflux-mcp-prod/data/mqtt"
    assert (found["agent-inject-file-mqtt"], found["agent-inject-perms-mqtt"]) == ("mqtt.json", "0400")
    assert found["agent-inject-template-mqtt"] == (
        '{{ with secret "coreflux-mcp-prod/data/mqtt" }}{"mqtt":{'
        '"username":{{ index .Data.data "username" | toJSON }},'
        '"password":{{ index .Data.data "password" | toJSON }},'
        '"version":{{ index .Data.data "secretops-version" | toJSON }}}}{{ end }}'
    )
    files = {text for key, text in found.items() if key.startswith("agent-inject-file-")}
    assert files == {"mqtt.json", "agent-key.json", "http-token.json"}
    with_pki = annotations(with_every_option())
    assert with_pki["agent-inject-file-client-cert"] == "client-cert.json"
    templates = [text for key, text in with_pki.items() if key.startswith("agent-inject-template-")]
    assert [text for text in templates if not text.startswith('{{ with secret "coreflux-mcp-prod/data/')] == []
    arguments = template(by_agent())["spec"]["containers"][0]["args"]
    assert arguments[1:3] == ["--from", f"json:{found['secret-volume-path']}/"], "the launcher reads that folder"


def test_the_agent_alone_has_the_pods_token_and_it_is_for_vault() -> None:
    spec = template(by_agent())["spec"]
    name = annotations(by_agent())["agent-service-account-token-volume-name"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == name]
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"] == {"audience": "vault", "path": "token", "expirationSeconds": 3600}
    assert name not in [one["name"] for one in spec["containers"][0]["volumeMounts"]]
    assert spec["automountServiceAccountToken"] is False


def test_pods_reach_vault_and_no_more_than_before() -> None:
    named = with_every_option()
    for name in ("server-network", "rotator-network"):
        assert [one["to"] for one in egress(named, name)] == [[{"ipBlock": {"cidr": "10.9.0.0/16"}}]]
    assert egress(by_external_secrets(), "server-network") == [], "External Secrets asks, and is not in this namespace"


def test_external_secrets_reads_as_an_account_of_its_own(ca: Path) -> None:
    deployed = for_pods(f', ca_file: "{ca}"', ", reference: SyncedKey")
    store = inputs(deployed, "secret-store")["spec"]["provider"]["vault"]
    assert (store["server"], store["path"], store["version"]) == (ADDRESS, "coreflux-mcp-prod", "v2")
    assert store["auth"]["kubernetes"] == {
        "mountPath": "kubernetes",
        "role": "coreflux-mcp-prod-server",
        "serviceAccountRef": {"name": "coreflux-mcp-sync", "audiences": ["vault"]},
    }
    assert base64.b64decode(store["caBundle"]).decode() == ca.read_text()
    assert inputs(deployed, "synced-mqtt")["spec"]["refreshInterval"] == "5m", "by the default grace"


@pytest.mark.parametrize("entry", ["token: abc", "approle: {secret_id: abc}"])
def test_login_material_of_vault_is_neither_printed_nor_put(entry: str) -> None:
    """The remedy must not be `secretops put`. A login that is put as a value would replace the Copilot's key or the
    broker's password, and be sent to a server."""
    (found,) = [one for one in refusals(f", {entry}") if "not shown" in one]
    assert "secretops put" not in found and "abc" not in found
