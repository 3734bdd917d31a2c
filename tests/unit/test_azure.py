"""The Azure platform under mocks: what the program asks the engine for. No subscription is asked anything here.

The other test_azure_*.py each have a part of it; who may what is for test_azure_grants.py.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest

from tests.unit.azure_ids import SUBSCRIPTION, TENANT
from tests.unit.azure_stack import (
    container,
    inputs,
    manifest_of,
    on_azure,
    shipped,
    store_of,
    whole,
    with_every_option,
    wrong,
)
from tests.unit.harness import Deployed, ca_file, texts
from tests.unit.test_components import SDKS, imported
from tools.standin import sdk_types

VAULT = "azure-native:keyvault:Vault"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def prod(ca: Path) -> Deployed:
    """A stack of production with a CA file that is there, and nothing more than it needs."""
    return on_azure(broker=f', ca_file: "{ca}"')


@pytest.fixture(scope="module")
def everything() -> Deployed:
    """With every option that adds something."""
    return with_every_option()


@pytest.fixture(scope="module")
def trial() -> Deployed:
    """A stack that lives for a day."""
    return on_azure(stack="dev-trial")


def test_the_program_is_an_identity_a_store_with_a_rotator_and_a_trail_and_a_server(prod: Deployed) -> None:
    components = {
        (each.name, each.parent, each.type.removeprefix("coreflux-mcp-secrets:azure:"))
        for each in prod.resources.values()
        if each.type.startswith("coreflux-mcp-secrets:")
    }

    assert components == {
        ("identity", "", "Identity"),
        ("secrets", "", "SecretStore"),
        ("rotator", "secrets", "Rotator"),
        ("near-expiry", "rotator", "NearExpiry"),
        ("trail", "secrets", "Trail"),
        ("server", "", "McpServer"),
    }


def test_no_other_subscription_is_touched_than_the_one_that_the_file_names(prod: Deployed) -> None:
    provider = inputs(prod, "azure")

    assert (provider["subscriptionId"], provider["tenantId"]) == (SUBSCRIPTION, TENANT)
    assert not {"clientSecret", "clientId", "oidcToken"} & provider.keys()


def test_everything_is_made_by_that_subscriptions_provider(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        others = [
            each.name
            for each in deployed.resources.values()
            if each.type.startswith("azure-native:") and each.provider != "azure"
        ]
        assert others == []


def test_a_resource_group_is_made_or_the_one_that_is_named_is_used(prod: Deployed, everything: Deployed) -> None:
    assert inputs(prod, "group")["resourceGroupName"] == "coreflux-mcp-prod"
    assert "group" not in everything.resources
    groups = {
        one.inputs["resourceGroupName"] for one in everything.resources.values() if "resourceGroupName" in one.inputs
    }
    assert groups == {"plant"}


def test_the_server_is_wired_once_its_store_stands(prod: Deployed) -> None:
    assert {"vault", "server-reads-mqtt", "rotator-keeps-mqtt", "job", "vault-audit"} <= prod.resources[
        "server"
    ].depends_on


def test_every_input_is_of_the_types_of_pulumis_own_sdk(prod: Deployed, everything: Deployed, trial: Deployed) -> None:
    assert [*wrong(prod), *wrong(everything), *wrong(trial)] == []


def test_an_input_that_is_not_is_told(everything: Deployed) -> None:
    planted = whole(inputs(everything, "vault"))
    planted["properties"] |= {"enableRbacAuthorisation": True, "softDeleteRetentionInDays": "90"}

    found = sorted(problem.at for problem in sdk_types.problems(VAULT, planted))

    assert found == ["properties.enableRbacAuthorisation", "properties.softDeleteRetentionInDays"]


def test_a_preview_that_knows_no_id_asks_for_the_same_and_tells_what_it_knows(everything: Deployed) -> None:
    before_anything = with_every_option(preview=True)

    assert before_anything.resources.keys() == everything.resources.keys()
    assert inputs(before_anything, "vault") == inputs(everything, "vault")
    for output in ("references", "next", "trail", "gaps", "schedule"):
        assert before_anything.exports[output] == everything.exports[output]
    assert before_anything.exports["secretops"] == before_anything.exports["server"], "both unknown"


def test_no_secret_is_a_resource_and_no_app_has_one_of_its_own(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        assert deployed.of_type("azure-native:keyvault:Secret") == []
        for name in ("app", "job", "job-near-expiry"):
            assert "secrets" not in inputs(deployed, name)["configuration"]
            assert all("secretRef" not in entry for entry in container(deployed, name)["env"])


def test_no_key_of_a_service_is_asked_for(prod: Deployed) -> None:
    assert inputs(prod, "lease-account")["allowSharedKeyAccess"] is False
    assert inputs(prod, "workspace")["features"]["disableLocalAuth"] is True
    assert inputs(prod, "environment")["appLogsConfiguration"] == {"destination": "azure-monitor"}


def test_no_input_and_no_output_is_a_secret_because_none_holds_one(prod: Deployed, everything: Deployed) -> None:
    for deployed in (prod, everything):
        assert [each.name for each in deployed.resources.values() if each.secret_inputs] == []
        assert deployed.secret_exports == ()


def test_what_lies_in_the_environment_of_whoever_deploys_gets_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    for name in ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "ARM_ACCESS_KEY", "MQTT_PASSWORD", "MCP_HTTP_TOKEN"):
        monkeypatch.setenv(name, canary)

    deployed = on_azure()

    assert canary not in "\n".join(
        [*texts([vars(each) for each in deployed.resources.values()]), *texts(deployed.exports)]
    )


def test_nothing_handed_over_looks_like_a_value(prod: Deployed) -> None:
    looks = re.compile(r"-----BEGIN (?!CERTIFICATE)|://[^/\s]*:[^/\s]*@|AccountKey=|SharedAccessSignature")

    for each in prod.resources.values():
        assert not [text for text in texts(each.inputs) if looks.search(text)], each.name


def test_the_azure_program_imports_no_other_platforms_sdk_and_asks_azure_nothing_itself() -> None:
    program = "from tests.unit import azure_stack; azure_stack.on_azure()"

    assert imported(program, SDKS | {"pulumi", "lightkube", "botocore"}) == "['pulumi', 'pulumi_azure_native']"


def test_a_stack_file_is_judged_without_the_sdk(ca: Path) -> None:
    program = (
        "from tests.unit.stack_file import StackFile; from pathlib import Path; "
        "StackFile.read(Path('examples/Pulumi.prod-azure.yaml').read_text()"
        f".replace('/etc/ssl/certs/prod-ca.crt', '{ca}')).parse('prod')"
    )

    assert imported(program, SDKS) == "[]"


def test_next_is_what_the_server_waits_for(prod: Deployed) -> None:
    assert prod.exports["next"] == (
        f"secretops put broker-admin, then secretops put http-token, then az containerapp job start --subscription "
        f"{SUBSCRIPTION} -g coreflux-mcp-prod -n coreflux-prod-rotator (or wait for the full hour), "
        "then secretops status, then bootstrapped: true in the section server, and pulumi up"
    )
    assert inputs(prod, "job")["jobName"] == "coreflux-prod-rotator"


def test_the_shipped_example_deploys_once_its_ca_file_is_there(ca: Path) -> None:
    deployed = shipped(ca)

    assert store_of(manifest_of(deployed)).secrets.keys() == {"broker-admin", "mqtt", "agent-key", "http-token"}
    assert wrong(deployed) == []
