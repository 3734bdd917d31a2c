"""The Azure platform under mocks: what the program asks the engine for. No subscription is asked anything here.

The other test_azure_*.py each have a part of it; who may what is for test_azure_grants.py.
"""

from __future__ import annotations

import re
import secrets

import pytest

from tests.unit.azure_ids import SUBSCRIPTION, TENANT
from tests.unit.azure_stack import (
    ca,
    container,
    here,
    inputs,
    on_azure,
    pods,
    trial,
    with_ca,
    with_every_option,
    wrong,
)
from tests.unit.harness import Deployed, texts
from tests.unit.test_components import SDKS, imported

KINDS = {each.__name__: each for each in (with_ca, with_every_option, trial, pods, here)}


@pytest.fixture(params=KINDS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    """Each kind of stack."""
    return KINDS[request.param]()


def test_everything_is_made_in_the_one_subscription_of_the_file(deployed: Deployed) -> None:
    provider = inputs(deployed, "azure")

    assert (provider["subscriptionId"], provider["tenantId"]) == (SUBSCRIPTION, TENANT)
    assert not {"clientSecret", "clientId", "oidcToken"} & provider.keys()
    assert [
        each.name
        for each in deployed.resources.values()
        if each.type.startswith("azure-native:") and each.provider != "azure"
    ] == []


def test_every_input_is_of_the_types_of_pulumis_own_sdk(deployed: Deployed) -> None:
    assert wrong(deployed) == []


def test_no_resource_input_or_output_holds_a_value(deployed: Deployed) -> None:
    looks = re.compile(r"-----BEGIN (?!CERTIFICATE)|://[^/\s]*:[^/\s]*@|AccountKey=|SharedAccessSignature")

    assert deployed.of_type("azure-native:keyvault:Secret") == []
    assert [each.name for each in deployed.resources.values() if each.secret_inputs] == []
    assert deployed.secret_exports == ()
    assert [one.name for one in deployed.resources.values() for text in texts(one.inputs) if looks.search(text)] == []
    for name in {"app", "job", "job-near-expiry"} & deployed.resources.keys():
        assert "secrets" not in inputs(deployed, name)["configuration"]
        assert all("secretRef" not in entry for entry in container(deployed, name)["env"])


def test_a_preview_that_knows_no_id_asks_for_the_same() -> None:
    everything, before_anything = with_every_option(), with_every_option(preview=True)

    assert before_anything.resources.keys() == everything.resources.keys()
    assert inputs(before_anything, "vault") == inputs(everything, "vault")
    for output in ("references", "next", "trail", "gaps", "schedule"):
        assert before_anything.exports[output] == everything.exports[output]
    assert before_anything.exports["secretops"] == before_anything.exports["server"], "both unknown"


def test_nothing_of_the_deployers_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    for name in ("AZURE_CLIENT_SECRET", "ARM_CLIENT_SECRET", "ARM_ACCESS_KEY", "MQTT_PASSWORD", "MCP_HTTP_TOKEN"):
        monkeypatch.setenv(name, canary)

    made = on_azure()

    assert canary not in "\n".join([*texts([vars(each) for each in made.resources.values()]), *texts(made.exports)])


@pytest.mark.real
def test_a_stack_file_is_judged_without_the_sdk() -> None:
    program = (
        "from tests.unit.stack_file import StackFile; from pathlib import Path; "
        "StackFile.read(Path('examples/Pulumi.prod-azure.yaml').read_text()"
        f".replace('/etc/ssl/certs/prod-ca.crt', '{ca()}')).parse('prod')"
    )

    assert imported(program, SDKS) == "[]"
