"""vault+local end to end: the real engine, CLI and SDK, a real OpenBao, a real broker with TLS, the unmodified server.

Pulumi's Vault provider is not available. A stand-in checks inputs against the SDK's types, and creates all resources in
OpenBao with the requests of tools/standin/vault/places.py. It is not proven that Pulumi's provider sends the same.
"""

import asyncio
import json
import os
import shlex
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from secretops.errors import ExitCode
from secretops.launcher.sources import open_source
from secretops.manifest import Broker
from secretops.values import Value, new_password
from tests.gates.test_leak import forms
from tests.real.mcp_client import call_tool, stdio_session
from tests.real.mosquitto import Mosquitto
from tests.real.openbao import OpenBao
from tests.real.served import polling
from tests.real.stack import DEADLINE, log_in
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.prod_vault import VaultStack, block, new_vault
from tests.stacks.runbook import Clone, Page, desk
from tools.toolchain.gobuild import cache_root

pytestmark = [pytest.mark.real, pytest.mark.slow]

FILE = "examples/Pulumi.dev-vault-local.yaml"


@dataclass(kw_only=True)
class LocalVault(VaultStack):
    # The server's values of mqtt after each rotation.
    history: list[Value] = field(default_factory=list, repr=False)

    @property
    def folder(self) -> Path:
        return self.stack.home / "mcp"

    @cached_property
    def tick(self) -> list[str]:
        (unit,) = self.folder.rglob("*.service")
        (line,) = [one for one in unit.read_text().splitlines() if one.startswith("ExecStart=")]
        return shlex.split(line.removeprefix("ExecStart=").replace("$$", "$").replace("%%", "%"))

    @property
    def reported(self) -> Path:
        return Path(self.tick[self.tick.index("--manifest") + 1])

    def rotator(self, *arguments: str) -> str:
        """Run `secretops` as the rotator, with its own manifest and login. It must succeed."""
        argv = [self.tick[0], *arguments, "--manifest", str(self.reported)] if arguments else self.tick
        done = self.program(argv, {})
        assert done.code == ExitCode.DONE, done.text
        return done.text

    @property
    def entry(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(Path(self.outputs["server"]).read_text())["mcpServers"]["coreflux"]
        return found

    @property
    def source(self) -> str:
        args: list[str] = self.entry["args"]
        return args[args.index("--from") + 1]

    def served(self) -> Value:
        public = {name: text for name, text in os.environ.items() if not name.startswith("VAULT_")}
        with mock.patch.dict(os.environ, {**public, **self.entry["env"]}, clear=True):
            settings = open_source(self.source).read()
        self.values.add(settings.mqtt["password"])
        return Value(dict(settings.mqtt))

    @property
    def issued(self) -> Path:
        folder = self.stack.home / "issued"
        folder.mkdir(exist_ok=True)
        client = self.openbao.client(self.operators_token)
        found = client.secrets.kv.v2.read_secret_version(
            "client-cert", mount_point=self.place["mount"], raise_on_deleted_version=True
        )["data"]["data"]
        self.values.add(found["client.key"])
        for name in ("client.crt", "client.key"):
            (folder / name).write_text(found[name])
        return folder

    @property
    def reached(self) -> Broker:
        issued = self.issued
        files = {"certificate_file": str(issued / "client.crt"), "key_file": str(issued / "client.key")}
        return Broker.model_validate({**self.outputs["secretops"]["broker"], **files, "certificate_secret": None})

    def log_in(self, credential: Value) -> str:
        return log_in(self.reached, credential)

    def issue(self) -> None:
        script, _, rotate = block("Client certificates", "sh").partition("secretops ")
        self.bao(script, token=self.operators_token)
        own = self.broker.ca_file.read_text()
        self.broker.ca_file.write_text(own + (self.stack.home / "root.crt").read_text())
        self.broker.stop()
        assert self.broker.start()
        self.operator(*rotate.split())


@pytest.fixture(scope="module")
def deployed(openbao: OpenBao, broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> LocalVault:
    home = tmp_path_factory.mktemp("vault")
    stack = new_vault(home, FILE, broker, openbao)
    stack.config["server"] |= {"folder": str(home / "mcp"), "source": str(real_server() or SMALL_SERVER)}
    store: Any = stack.config["store"]
    store |= {"pki": {}, "audit_files": [str(home / "first.log"), str(home / "second.log")]}
    stack.config["broker"] |= {"port": broker.mutual_port, "client_certificate": True}
    stack.configure()
    assert "STAND-IN for vault " in stack.up()
    made = LocalVault(stack=stack, broker=broker, openbao=openbao)
    made.welcome_operator()
    made.bao(block("Secret ids", "sh").replace(".coreflux-mcp-local", str(made.folder)), token=made.operators_token)
    made.values |= {(made.folder / "login" / who).read_text() for who in ("server", "rotator")}
    return made


@pytest.fixture(scope="module")
def rotated(deployed: LocalVault) -> LocalVault:
    """Return the stack with an operator's values, after three rotations with the rotator's own role, under an MCP
    client."""
    deployed.issue()
    deployed.values.add(deployed.broker.admin["password"])
    deployed.operator("put", "broker-admin", stdin=json.dumps(dict(deployed.broker.admin)))
    key = f"canary-{new_password()}/+%"
    deployed.values.add(key)
    deployed.operator("put", "agent-key", "--untested", stdin=key)
    assert "mqtt" in deployed.rotator()
    deployed.history.append(deployed.served())
    deployed.preview_is_empty()
    asyncio.run(_rotate_twice_more(deployed))
    return deployed


async def _rotate_twice_more(deployed: LocalVault) -> None:
    entry, log = deployed.entry, deployed.stack.home / "log"
    kept = {name: os.environ[name] for name in ("PATH", "HOME")}
    command = [sys.executable, "-c", polling(), *entry["args"]]
    async with stdio_session(command, {**kept, **entry["env"]}, deployed.stack.home, log) as session:

        async def publishes() -> None:
            output = await call_tool(session, "mqtt_publish", topic="plant/a", message="{}", qos=1)
            assert "publish" in output.lower() and "error" not in output.lower(), output + log.read_text()

        await publishes()
        for _ in range(2):
            await asyncio.to_thread(deployed.rotator, "rotate", "mqtt", "--now")
            deployed.history.append(await asyncio.to_thread(deployed.served))
            version = deployed.version("mqtt")
            async with asyncio.timeout(DEADLINE):
                while f"Using version {version} of mqtt" not in log.read_text():
                    await asyncio.sleep(0.1)
            await publishes()
            await asyncio.to_thread(deployed.preview_is_empty)
    text = log.read_text()
    deployed.stack.output.append(text)
    assert "Traceback" not in text


def test_three_rotations_alternate_and_the_server_reads_a_working_value(rotated: LocalVault) -> None:
    (two,) = (one["users"] for one in rotated.outputs["secretops"]["secrets"] if one["name"] == "mqtt")
    assert [one["username"] for one in rotated.history] == [*two, two[0]]
    assert rotated.log_in(rotated.served()) == "Success"


def test_the_stacks_ca_issues_certificates_for_clients_of_one_name_alone(rotated: LocalVault) -> None:
    from hvac.exceptions import InvalidRequest

    certificate = x509.load_pem_x509_certificate((rotated.issued / "client.crt").read_bytes())
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < timedelta(days=31)

    done = rotated.rotator("rotate", "client-cert")
    assert rotated.version("client-cert") in done, "by the rotator's own role"
    client, issue = rotated.openbao.client(), f"{rotated.base}-pki/issue/client"
    for requested in (
        {"common_name": "broker.example.com"},
        {"common_name": f"a.{rotated.base}"},
        {"common_name": rotated.base, "alt_names": "broker.example.com"},
        {"common_name": rotated.base, "ip_sans": "127.0.0.1"},
    ):
        with pytest.raises(InvalidRequest, match="not allowed"):
            client.write_data(issue, data=requested)
    long = client.write_data(issue, data={"common_name": rotated.base, "ttl": "8760h"})["data"]
    rotated.values.add(long["private_key"])
    assert long["expiration"] - time.time() < timedelta(days=31).total_seconds()
    assert log_in(rotated.reached, rotated.served()) == "Success"


def test_doctor_finds_the_deployed_stack_healthy(rotated: LocalVault) -> None:
    done = rotated.run("doctor")
    assert done.code == ExitCode.DONE, done.text


def test_no_value_token_or_secret_id_is_in_state_previews_or_output(rotated: LocalVault) -> None:
    rotated.preview_is_empty()
    stack = rotated.stack
    kept = [path.read_text() for path in (stack.home / "state").rglob("*") if path.is_file()]
    log = rotated.openbao.log_file.read_text()
    whole = "\0".join([*stack.output, stack.state(), log, rotated.reported.read_text(), *kept]).encode()
    assert len(rotated.values) >= 12
    assert rotated.served()["password"] in rotated.values, "what is looked for can be found"
    assert sum(form in whole for value in rotated.values for form in forms(value)) == 0
    assert b'"ciphertext"' not in whole, "and nothing is kept encrypted either"


@pytest.fixture
def at_the_desk(rotated: LocalVault) -> Clone:
    """Return the clone in which the page's people work in turn. Each has only the token from its own login.

    During the deployer's turn, VAULT_TOKEN has the deployer's token, because the stand-in reads only this variable.
    """
    stack = rotated.stack
    clone = desk(stack.home / "desk", stack.configure())
    (clone.folder / ".coreflux-mcp-local").symlink_to(rotated.folder)
    path = f"{rotated.openbao.program.parent}{os.pathsep}{stack.environment['PATH']}"
    openbao = {name: text for name, text in stack.environment.items() if name not in ("VAULT_TOKEN", "BAO_TOKEN")}
    clone.without = OF_CLOUDS
    clone.environment |= openbao | {"PATH": path, "PULUMI_SKIP_CONFIRMATIONS": "true"}
    clone.environment |= {"HOME": str(stack.home), "XDG_CACHE_HOME": str(cache_root().parent)}
    return clone


def serial(certificate: x509.Certificate) -> bytes:
    number = certificate.serial_number
    return number.to_bytes((number.bit_length() + 7) // 8)


def test_page_works_as_written_and_destroys_only_its_own_stack(rotated: LocalVault, at_the_desk: Clone) -> None:
    page, client = Page(at_the_desk, "vault.md"), rotated.openbao.client()

    def log_in(with_token: str) -> None:
        done = at_the_desk.sh("bao login -no-print", typed=f"{with_token}\n")
        assert done.returncode == 0, done.stdout + done.stderr

    page.follow("export VAULT_ADDR=")
    deployers = {"VAULT_TOKEN": rotated.stack.leads["VAULT_TOKEN"]}
    with mock.patch.dict(at_the_desk.environment, deployers):
        output = page.follow("bao login", typed=f"{deployers['VAULT_TOKEN']}\n")
    assert str(rotated.stack.outputs()["next"]) in output
    page.follow("-method=userpass username=alice", typed=f"{rotated.password}\n")
    page.follow("secretops put broker-admin", stdin=json.dumps(dict(rotated.broker.admin)))
    page.follow("secretops tick")
    log_in(rotated.openbao.root)
    page.follow("token_policies=")
    log_in(rotated.operators_token)
    page.follow("secret-id")
    rotated.rotator()
    page.follow("secretops rotate client-cert")
    assert (at_the_desk.folder / "root.crt").read_text() == (rotated.stack.home / "root.crt").read_text()

    certificate = x509.load_pem_x509_certificate((rotated.issued / "client.crt").read_bytes())
    at_the_desk.environment["SERIAL"] = ":".join(f"{byte:02x}" for byte in serial(certificate))
    log_in(rotated.openbao.root)
    page.follow("pki/crl/rotate")
    log_in(rotated.operators_token)
    revoked = x509.load_pem_x509_crl((at_the_desk.folder / "clients.crl").read_bytes())
    assert revoked.get_revoked_certificate_by_serial_number(certificate.serial_number)
    page.follow("secretops purge --destroy", typed=f"{rotated.stack.name}\n", before="pulumi destroy")
    with mock.patch.dict(at_the_desk.environment, deployers):
        page.follow("pulumi destroy")
    page.is_followed_to_its_end()
    named = {
        *client.sys.list_mounted_secrets_engines()["data"],
        *client.sys.list_auth_methods()["data"],
        *client.sys.list_policies()["data"]["policies"],
    }
    assert not [name for name in named if name.startswith(rotated.base)]
    assert "userpass/" in named, "that is not the stack's"
