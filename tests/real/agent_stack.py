"""A stack whose agent key secretops creates at a fake DigitalOcean."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from secretops.engine.state import Versions
from secretops.manifest import (
    AGENT_ADMIN,
    Broker,
    BrokerKind,
    ExternalAgent,
    MqttProtocol,
    OwnedAgent,
    Reader,
    Secret,
    SecretKind,
)
from secretops.targets.digitalocean import API_VARIABLE
from secretops.values import Value
from tests.real.digitalocean import DigitalOcean
from tests.real.stack import Stack, make_stack

PREFIX = "coreflux-mcp-test"
NO_BROKER = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)


@dataclass
class AgentStack(Stack):
    def key(self) -> Value:
        return Value({"api-key": dotenv_values(self.env)["DO_AGENT_API_KEY"] or ""})

    def kept(self) -> Versions:
        return self.session().store.versions("agent-key")


def owned_stack(folder: Path, account: DigitalOcean) -> AgentStack:
    agent = OwnedAgent(url=account.url, id=account.agent, prefix=PREFIX)
    stack = _stack(folder, agent, {API_VARIABLE: account.url})
    stack.put(AGENT_ADMIN[0], dict(account.admin))
    return stack


def external_stack(folder: Path, account: DigitalOcean) -> AgentStack:
    return _stack(folder, ExternalAgent(url=account.url), {})


def _stack(folder: Path, agent: ExternalAgent | OwnedAgent, environment: Mapping[str, str]) -> AgentStack:
    manifest = make_stack(folder, NO_BROKER).manifest
    (key,) = [secret for secret in manifest.secrets if secret.kind is SecretKind.AGENT_KEY]
    name, field = AGENT_ADMIN
    admin = Secret(name=name, kind=SecretKind.SUPPLIED, fields=(field,), readers=(Reader.ROTATOR,), cadence_days=90)
    owned = (admin,) if isinstance(agent, OwnedAgent) else ()
    manifest = manifest.model_copy(update={"secrets": (*owned, key.model_copy(update={"agent": agent}))})
    stack = AgentStack(manifest, environment=dict(environment))
    stack.file.write_text(manifest.model_dump_json())
    return stack
