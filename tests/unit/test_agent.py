"""The section `agent`: who owns the keys, each server's configuration, and network access."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from components.settings.settings import ConfigurationError
from components.stack import next_step
from secretops.launcher.settings import OWN_VARIABLES
from secretops.manifest import COPILOT, ExternalAgent, Manifest, OwnedAgent, Reader, Secret, SecretKind
from tests.unit.aws_stack import a_kubeconfig, on_aws
from tests.unit.azure_stack import on_azure
from tests.unit.harness import Deployed, deploy, texts
from tests.unit.stack_file import StackFile
from tests.unit.swarm_stack import on_swarm
from tests.unit.vault_stack import for_pods, for_this_machine

UUID = "01234567-89ab-cdef-0123-456789abcdef"
URL = "https://plant.agents.do-ai.run"
OWNED = f"{{kind: owned, id: {UUID}, url: '{URL}'}}"


def file(agent: str = "", **sections: str) -> StackFile:
    lines = {"store": "{kind: dotenv}", "server": "{kind: local}", "broker": "{kind: embedded}", **sections}
    lines |= {"agent": agent} if agent else {}
    return StackFile.read("\n".join(["config:", *(f"  {name}: {text}" for name, text in lines.items())]))


def on_kubernetes(server: str = "", **more: str) -> Deployed:
    sections = {
        "store": "{kind: kubernetes}",
        "server": f'{{kind: kubernetes, image: "registry.example.com/it:1"{server}}}',
        "broker": "{kind: coreflux, host: mqtt.example.com}",
    }
    with a_kubeconfig():
        return deploy(file(**sections, **more), "staging")


def secrets_of(agent: str, stack: str = "dev") -> dict[str, Secret]:
    return {secret.name: secret for secret in file(agent, environment="development").parse(stack).secrets}


def refusals(agent: str, **sections: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        file(agent, **sections).parse("dev")
    return [" ".join(str(problem).split()) for problem in refused.value.problems]


def test_without_the_section_the_key_is_the_copilots_and_an_operator_supplies_it() -> None:
    found = secrets_of("")
    assert found["agent-key"].agent == ExternalAgent(url=COPILOT)
    assert not found["agent-key"].is_made and "agent-admin" not in found
    assert file().parse("dev").agent is None


def test_keys_of_an_owned_agent_need_a_token_that_only_the_rotator_reads() -> None:
    found = secrets_of(OWNED, "plant-7")
    key, admin = found["agent-key"], found["agent-admin"]
    assert (
        key.agent == OwnedAgent(url=URL, id=UUID, prefix="coreflux-mcp-plant-7")
        and key.is_made
        and key.makes_first_value
    )
    assert (admin.kind, admin.fields, admin.readers) == (SecretKind.SUPPLIED, ("token",), (Reader.ROTATOR,))
    assert next_step(file(OWNED).parse("dev")) == (
        "secretops broker start, then secretops put agent-admin, then secretops tick, then secretops status"
    )


def test_a_platform_that_reaches_no_agent_can_make_no_keys() -> None:
    sections = {
        "store": "{kind: kubernetes}",
        "server": '{kind: kubernetes, image: "registry.example.com/it:1", copilot_cidrs: []}',
        "broker": "{kind: coreflux, host: mqtt.example.com}",
    }
    (problem,) = refusals(OWNED, **sections)
    assert "server.copilot_cidrs: [] with agent.kind owned" in problem
    with pytest.raises(ConfigurationError, match=r"server.copilot: false with agent.kind"):
        on_aws(server=", copilot: false", agent=OWNED)


def egress(deployed: Deployed) -> list[Any]:
    found: list[Any] = deployed.resources["rotator-network"].inputs["spec"]["egress"]
    return [[port["port"] for port in rule["ports"]] for rule in found]


def test_the_rotators_pods_reach_public_hosts_only_where_they_make_keys() -> None:
    assert egress(on_kubernetes())[3:] == []
    assert egress(for_pods(agent=OWNED))[3:] == [[443]]


PLATFORMS: dict[str, Callable[..., Deployed]] = {
    "local": lambda **more: deploy(file(**more), "dev"), "kubernetes": on_kubernetes, "ecs": on_aws,
    "containerapp": on_azure, "swarm": on_swarm, "vault": for_this_machine,
}  # fmt: skip


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platforms_server_gets_the_agents_address_and_not_its_owners_token(platform: str) -> None:
    deployed = PLATFORMS[platform](agent=OWNED)
    everything = " ".join(text for one in deployed.resources.values() for text in texts(one.inputs))
    everything += json.dumps(deployed.exports)
    assert "DO_AGENT_URL" in everything and URL in everything
    assert "DO_AGENT_URL" in OWN_VARIABLES, "the launcher takes it from each source"
    exported = Manifest.model_validate(deployed.exports["secretops"])
    assert isinstance(exported.secret("agent-key").agent, OwnedAgent) and exported.secret("agent-admin")
    assert "agent-admin" not in json.dumps(deployed.exports["references"])


@pytest.mark.parametrize(("on", "allowed"), [
    *((on_kubernetes, False), (on_kubernetes, True), (lambda server: on_swarm("", server), True)),
    *((lambda server: on_aws("", server), True), (lambda server: on_azure("", server), True)),
])  # fmt: skip
def test_a_stack_file_lets_mcp_clients_choose_the_connection(on: Callable[[str], Deployed], allowed: bool) -> None:
    deployed = on(", connection_tools: true" if allowed else "")
    everything = " ".join(text for one in deployed.resources.values() for text in texts(one.inputs))
    assert ("--allow-connection-tools" in everything) is allowed
