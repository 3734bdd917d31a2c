"""A CA of the stack's own, as the program has it: a secret more, which no server reads, on each kind of store."""

from __future__ import annotations

from typing import Any

import pytest

from components.catalogue import CLIENT_CA, CLIENT_CERT
from secretops.manifest import DotenvStore, Manifest, PrivateCaIssuer
from tests.unit import azure_stack, vault_stack
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

ISSUER = "{kind: private-ca}"
ASKS = ", client_certificate: true"
BEGIN = (
    "secretops rotate client-ca, then have the broker trust what secretops trust prints, then secretops rotate "
    "client-ca, then secretops rotate client-cert, then secretops put broker-admin, "
)


def on_a_folder() -> Deployed:
    text = f"""
config:
  store: {{kind: dotenv, root: /etc/coreflux-mcp}}
  server: {{kind: local}}
  broker: {{kind: coreflux, host: mqtt.example.com{ASKS}}}
  issuer: {ISSUER}
"""
    return deploy(StackFile.read(text), "dev")


def in_vault() -> Deployed:
    return vault_stack.for_this_machine(broker=ASKS, issuer=ISSUER)


def on_azure() -> Deployed:
    return azure_stack.on_azure(broker=ASKS, issuer=ISSUER)


def manifest_of(deployed: Deployed) -> Manifest:
    """What secretops is told."""
    return Manifest.model_validate(deployed.exports["secretops"])


@pytest.mark.parametrize("make", [on_a_folder, in_vault, on_azure])
def test_secretops_is_told_of_the_ca_and_of_the_one_name_that_it_certifies(make: Any) -> None:
    deployed = make()
    manifest = manifest_of(deployed)
    assert manifest.secret(CLIENT_CERT).issuer == PrivateCaIssuer(
        secret=CLIENT_CA,
        common_name=f"coreflux-mcp-{manifest.stack}",
        seconds=30 * 86400,
        ca_seconds=1825 * 86400,
    )
    assert manifest.secret(CLIENT_CA).fields == ("ca.crt", "ca.key")
    assert deployed.exports["next"].startswith(BEGIN)


@pytest.mark.parametrize("make", [on_a_folder, in_vault, on_azure])
def test_no_server_is_led_to_the_ca(make: Any) -> None:
    references = make().exports["references"]
    assert CLIENT_CERT in str(references) and CLIENT_CA not in str(references)


def test_in_a_folder_nothing_of_the_ca_is_delivered_and_no_ca_of_the_brokers_is_waited_for() -> None:
    manifest = manifest_of(on_a_folder())
    assert isinstance(manifest.store, DotenvStore)
    assert CLIENT_CA not in {*manifest.store.files, *manifest.store.variables, *manifest.store.file_variables}
    assert manifest.store.files[CLIENT_CERT] == {"client.crt": "certs/client.crt", "client.key": "certs/client.key"}
    assert manifest.store.file_variables[CLIENT_CERT].keys() == {"client.crt", "client.key"}
    assert manifest.broker.certificate_file == "/etc/coreflux-mcp/certs/client.crt"
    assert manifest.broker.ca_file is None, "the stack does not say who that is: the system's are trusted"


def test_in_vault_the_rotator_alone_has_a_right_to_it() -> None:
    deployed = in_vault()
    said = {who: str(vault_stack.inputs(deployed, f"{who}-policy")["policy"]) for who in ("server", "rotator")}
    assert "/client-ca" in said["rotator"] and "/client-ca" not in said["server"]
    assert vault_stack.wrong(deployed) == []


def test_on_azure_the_server_has_no_role_at_it() -> None:
    deployed = on_azure()
    names = azure_stack.names_of_principals(deployed)

    def readers(secret: str) -> set[str]:
        found = [one for one in azure_stack.assignments(deployed) if one["scope"].endswith(f"/secrets/{secret}")]
        return {names.get(one["principalId"], "an operator") for one in found}

    assert {one for one in readers("client-cert") if one.endswith("-server")}
    assert readers("client-ca") == {one for one in readers("client-cert") if not one.endswith("-server")}
    assert azure_stack.wrong(deployed) == []
