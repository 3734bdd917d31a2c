"""A server in a cluster that reads from Vault: by its agent, or by External Secrets, as the program asks for it.

The agent runs for real in tests/stacks. The injector does not: its annotations are read as its documentation has them.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.harness import Deployed, ca_file
from tests.unit.vault_stack import ADDRESS, by_agent, by_external_secrets, for_pods, inputs, with_every_option

PREFIX = "vault.hashicorp.com/"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def with_ca(ca: Path) -> Deployed:
    return for_pods(f', ca_file: "{ca}"', broker=f', ca_file: "{ca}"')


def template(deployed: Deployed) -> Any:
    return inputs(deployed, "deployment")["spec"]["template"]


def asked(deployed: Deployed) -> dict[str, str]:
    """The annotations, without what they all begin with."""
    found = template(deployed)["metadata"]["annotations"]
    return {key.removeprefix(PREFIX): text for key, text in found.items() if key.startswith(PREFIX)}


def egress(deployed: Deployed, name: str) -> list[Any]:
    found = inputs(deployed, name)["spec"]["egress"]
    return [one for one in found if {"port": 8200, "protocol": "TCP"} in one["ports"]]


def test_an_agent_is_asked_for_that_logs_in_by_the_servers_role_and_asks_again() -> None:
    from components.kubernetes import pods  # which brings the SDK along

    found = asked(by_agent())
    assert found["agent-inject"] == "true"
    assert (found["auth-type"], found["auth-path"]) == ("kubernetes", "auth/kubernetes")
    assert (found["role"], found["service"]) == ("coreflux-mcp-prod-server", ADDRESS)
    assert found["agent-run-as-user"] == found["agent-run-as-group"] == str(pods.USER)
    assert found["agent-pre-populate"] == "false", "the pod starts before there are values"
    assert found["template-config-exit-on-retry-failure"] == "false"
    assert found["template-static-secret-render-interval"] == "30s"


def test_each_secret_is_one_file_so_that_no_reader_sees_a_torn_pair() -> None:
    found = asked(by_agent())

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
    arguments = template(by_agent())["spec"]["containers"][0]["args"]
    assert arguments[1:3] == ["--from", f"json:{found['secret-volume-path']}/"], "the launcher reads that folder"


def test_the_agent_alone_has_the_pods_token_and_it_is_for_vault() -> None:
    spec = template(by_agent())["spec"]
    name = asked(by_agent())["agent-service-account-token-volume-name"]
    (volume,) = [one for one in spec["volumes"] if one["name"] == name]
    (source,) = volume["projected"]["sources"]

    assert source["serviceAccountToken"] == {"audience": "vault", "path": "token", "expirationSeconds": 3600}
    assert name not in [one["name"] for one in spec["containers"][0]["volumeMounts"]]
    assert spec["automountServiceAccountToken"] is False


def test_a_private_ca_reaches_agent_and_rotator_by_a_config_map(with_ca: Deployed, ca: Path) -> None:
    data, found = inputs(with_ca, "stack")["data"], asked(with_ca)

    assert data["vault-ca.crt"] == data["ca.crt"] == ca.read_text()
    assert (found["ca-cert"], found["agent-copy-volume-mounts"]) == ("/etc/coreflux-mcp/stack/vault-ca.crt", "server")
    assert json.loads(data["secretops.json"])["store"]["ca_file"] == found["ca-cert"]
    container = template(with_ca)["spec"]["containers"][0]
    assert container["name"] == "server"
    assert "/etc/coreflux-mcp/stack" in [one["mountPath"] for one in container["volumeMounts"]]


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
