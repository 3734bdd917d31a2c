"""A private CA of the stack: an additional secret that no server reads, on each kind of store."""

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from components.core.secrets import CLIENT_CA, CLIENT_CERT
from secretops.certificates import new_key, private_pem, signing_request
from secretops.engine.state import Stage, Version
from secretops.errors import StoreError, WaitingError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, PrivateCaIssuer
from secretops.operations.rotators import PrivateCa
from secretops.operations.trust import install
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.values import Value
from tests.real.stack import make_stack
from tests.unit import azure_stack, vault_stack
from tests.unit.harness import Deployed, deploy
from tests.unit.signing import DAY, NAME, made
from tests.unit.stack_file import StackFile

ISSUER = "{kind: private-ca}"
ASKS = ", client_certificate: true"


@cache
def on_a_folder() -> Deployed:
    text = f"""
config:
  store: {{kind: dotenv, root: /etc/coreflux-mcp}}
  server: {{kind: local}}
  broker: {{kind: coreflux, host: mqtt.example.com{ASKS}}}
  issuer: {ISSUER}
"""
    return deploy(StackFile.read(text), "dev")


@cache
def in_vault() -> Deployed:
    return vault_stack.for_this_machine(broker=ASKS, issuer=ISSUER)


@cache
def on_azure() -> Deployed:
    return azure_stack.on_azure(broker=ASKS, issuer=ISSUER)


def manifest_of(deployed: Deployed) -> Manifest:
    return Manifest.model_validate(deployed.exports["secretops"])


@pytest.mark.parametrize("make", [on_a_folder, in_vault, on_azure])
def test_manifest_has_the_ca_and_the_one_certified_name(make: Any) -> None:
    deployed = make()
    manifest = manifest_of(deployed)
    assert manifest.secret(CLIENT_CERT).issuer == PrivateCaIssuer(
        secret=CLIENT_CA, common_name=f"coreflux-mcp-{manifest.stack}", seconds=30 * 86400, ca_seconds=1825 * 86400
    )
    assert manifest.secret(CLIENT_CA).fields == ("ca.crt", "ca.key")
    references = str(deployed.exports["references"])
    assert CLIENT_CERT in references and CLIENT_CA not in references, "no server is led to it"
    assert deployed.exports["next"].startswith("secretops rotate client-ca, then have the broker trust")


def test_folder_delivers_nothing_of_the_ca_and_needs_no_broker_ca() -> None:
    manifest = manifest_of(on_a_folder())
    assert isinstance(manifest.store, DotenvStoreLocation)
    assert CLIENT_CA not in {*manifest.store.files, *manifest.store.variables, *manifest.store.file_variables}
    assert manifest.store.files[CLIENT_CERT] == {"client.crt": "certs/client.crt", "client.key": "certs/client.key"}
    assert manifest.store.file_variables[CLIENT_CERT].keys() == {"client.crt", "client.key"}
    assert manifest.broker.certificate_file == "/etc/coreflux-mcp/certs/client.crt"
    assert manifest.broker.ca_file is None, "the stack does not say who that is: the system's are trusted"


def test_in_vault_the_rotator_alone_has_a_right_to_it() -> None:
    deployed = in_vault()
    policies = {who: str(vault_stack.inputs(deployed, f"{who}-policy")["policy"]) for who in ("server", "rotator")}
    assert "/client-ca" in policies["rotator"] and "/client-ca" not in policies["server"]
    assert vault_stack.wrong(deployed) == []


def test_the_ca_that_is_current_signs_and_not_the_one_to_come(tmp_path: Path) -> None:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)
    session, name = make_stack(tmp_path / "store", broker).session(), "client-cert"
    issuer = PrivateCaIssuer(secret=name, common_name=NAME, seconds=600, ca_seconds=6000)
    signer = PrivateCa(issuer, session.store, session.clock)
    request = signing_request(new_key(), NAME)
    with pytest.raises(WaitingError):
        signer.sign(request)
    now = session.clock()
    ours, to_come = (made(who, ca=True, begins=now - DAY, ends=now + DAY) for who in ("ours", "to come"))
    for ca in (ours, to_come):
        version = Version(id=f"v-{ca.certificate.serial_number}", stage=Stage.PENDING, created=now)
        value = Value({"ca.crt": ca.pem, "ca.key": private_pem(ca.key)})
        session.store.add(name, version, value)
        if ca is ours:
            session.store.publish(name, version.id, now)
    signed = x509.load_pem_x509_certificate(signer.sign(request).certificate.encode())
    assert signed.issuer == ours.certificate.subject
    assert signed.not_valid_after_utc - session.clock() <= timedelta(seconds=600)


def test_trust_lays_the_stacks_cas_and_leaves_those_of_others(tmp_path: Path) -> None:
    manifest, ca = manifest_of(on_a_folder()), made("ours", ca=True)
    old, others, persons = (
        tmp_path / f"{name}.crt"
        for name in (f"client-ca-coreflux-mcp-dev-{'0' * 16}", f"client-ca-coreflux-mcp-dev-eu-{'0' * 16}", "a-persons")
    )
    for path in (old, others, persons):
        path.write_text("it was there")
    installed = install(manifest, tmp_path, ca.pem)
    assert installed.removed == (old,)
    assert {*tmp_path.iterdir()} == {others, persons, *installed.trusted}
    assert [path.read_text() for path in installed.trusted] == [ca.pem]
    with pytest.raises(StoreError):
        install(manifest, tmp_path, "no PEM")
    assert installed.trusted[0].exists(), "what cannot be read takes no CA from the broker"
