"""A stack of Azure on the stand-in provider, the Key Vault stand-in and Azurite. The tests run what Azure would run,
with the same identities."""

from __future__ import annotations

import json
import os
import re
import secrets
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from azure.core.exceptions import HttpResponseError

from secretops.launcher.sources import open_source
from secretops.platforms.azure import write_files
from secretops.values import Value
from tests.real.azure import Azure
from tests.real.container_app import run_job
from tests.real.mosquitto import Mosquitto
from tests.stacks.prod import Prod, ProdStack, new_prod_stack
from tools.key_vault.management import Management
from tools.key_vault.tokens import Principal
from tools.standin.azure.emulator import VARIABLE

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

    from tools.key_vault.vault import Vault

NAME = "prod-azure"


def new_azure(
    home: Path, broker: Mosquitto, azure: Azure, management: Management, file: str = f"examples/Pulumi.{NAME}.yaml"
) -> ProdStack:
    """Return the stack of a shipped file of the Azure store, in `home`, with one more operator. It is not deployed
    yet."""
    stack = new_prod_stack(home, file, broker, {VARIABLE: management.url})
    store: Any = stack.config["store"]
    store |= {"tenant": azure.authority.tenant, "operators": [str(uuid.uuid4()), *store["operators"]]}
    stack.configure()
    return stack


@dataclass(kw_only=True)
class AzureProd(Prod):
    """A deployed stack of Azure, on stand-ins. Only the stack's role assignments grant rights."""

    azure: Azure
    management: Management

    @property
    def environment(self) -> dict[str, str]:
        return self.azure.environment(self.operators[-1])

    @property
    def packed(self) -> dict[str, Any]:
        (first,), (main,) = (self.resource("job")["template"][which] for which in ("initContainers", "containers"))
        files = write_files.texts(first["args"], {one["name"]: one["value"] for one in first["env"]})
        packed: dict[str, Any] = json.loads(files[main["args"][main["args"].index("--manifest") + 1]])
        return packed

    @property
    def reported(self) -> dict[str, Any]:
        """Return readers and workspace. Only `audit` needs them, and they are known only after the rotator's
        settings."""
        reported = super().reported
        return {**reported, "store": {**reported["store"], "readers": {}, "workspace": ""}}

    def rotate_mqtt(self, times: int) -> None:
        for turn in range(times):
            if turn:
                assert self.log_in(self.served()) == "Success", "before"
                self._execute("job")
            self.operator("rotate", "mqtt")
            assert self.log_in(self.served()) == "Success", "after"
            self.history.append(self.served())

    def served(self) -> Value:
        (server,) = self.resource("app")["template"]["containers"]
        source = server["args"][server["args"].index("--from") + 1]
        declared = {one["name"]: one["value"] for one in server["env"]}
        identity = self.azure.environment(self.principal("server-identity"))
        assert declared["AZURE_CLIENT_ID"] == identity["AZURE_CLIENT_ID"]
        here = {"MQTT_CA_CERT": str(self.broker.ca_file)}  # an init container writes it in the container
        assert here.keys() < declared.keys()
        with mock.patch.dict(os.environ, {**identity, **declared, **here}):
            settings = open_source(source).read()
        assert settings.agent_key and settings.http_token
        self.values |= {settings.agent_key["api-key"], settings.http_token["token"]}
        return Value(dict(settings.mqtt))

    def tick(self) -> str:
        output = self._execute("job")
        lines = output.splitlines()
        for name in self.reported["store"]["secrets"]:
            assert any(name in line for line in lines), f"the tick says a line for each secret, and none of {name}"
        return output

    def remains(self) -> None:
        assert self.management.deleted == {self.vault.name}, "for 90 days it can be recovered"
        assert not self.vault.access.assignments, "and nobody reads it meanwhile"

    def may_read(self, principal: Principal) -> set[str]:
        """Return the secrets of the vault that an identity may read, including those without a value."""
        client, allowed = self.client(principal), set()
        for name in self._stored:
            try:
                client.get_secret(name)
            except HttpResponseError as error:
                assert error.response is not None
                if "ForbiddenByRbac" in error.response.text():
                    continue
                assert "SecretDisabled" in error.response.text() or error.status_code == 404, error.message
            allowed.add(name)
        return allowed

    @cached_property
    def vault(self) -> Vault:
        return self.management.vaults[self.resource("vault")["name"].lower()]

    def principal(self, identity: str) -> Principal:
        made = self.resource(identity)
        return Principal(made["name"], oid=made["principalId"], appid=made["clientId"])

    def _identity(self, resource_id: str) -> Principal:
        names = {self.resource(name)["name"]: name for name in ("rotator-identity", "server-identity")}
        return self.principal(names[resource_id.rpartition("/")[2]])

    def client(self, principal: Principal) -> SecretClient:
        return self.azure.client(self.vault, principal)

    @property
    def _stored(self) -> list[str]:
        store = self.reported["store"]
        return [*store["secrets"].values(), *store["pending"].values()]

    @cached_property
    def operators(self) -> list[Principal]:
        store: Any = self.stack.config["store"]
        return [Principal(f"operator {at}", oid=oid) for at, oid in enumerate(store["operators"])]

    def _execute(self, name: str) -> str:
        """Run a job once, after the grace period, with its command, variables, files and identity."""
        job = _without_grace(self.resource(name))
        (own,) = (one["identity"] for one in job["configuration"]["identitySettings"] if one["lifecycle"] == "Main")
        assert own in job["identity"]["userAssignedIdentities"]
        done = run_job(
            job,
            self.stack.home / "executions" / secrets.token_hex(4),
            identity=self.azure.environment(self._identity(own)),
            ca=self.azure.certificate.ca,
        )
        self.stack.output.append(done.log)
        assert done.code == 0, done.log
        return done.log


def _without_grace(job: dict[str, Any]) -> dict[str, Any]:
    """Return the job with a grace period of zero and no other change, because no test can move a container's clock."""
    declared = json.dumps(job)
    shortened, times = re.subn(r'(\\"grace_seconds\\": )\d+', r"\g<1>0", declared)
    assert times == 1
    reported: dict[str, Any] = json.loads(shortened)
    return reported
