"""Run the program on the Swarm platform under mocks, without a daemon. A test sets the service's current secrets."""

from collections.abc import Sequence
from typing import Any

import pytest

from components.swarm import deployer, mcp_server
from secretops.platforms.swarm.location import MountedSecret
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"
NETWORK = "abcdefghijklmnopqrstuvwxy"
SERVER, ROTATOR = "service", "rotator-service"

V3 = MountedSecret(
    secret_id="s" * 25,
    secret_name="coreflux-mcp-prod_mqtt-v3-password",  # nosec B106 - a secret's name
    file_name="mqtt_password",
    uid="10001",
    gid="10001",
    mode=0o400,
)


def file_on_swarm(store: str = "", server: str = "", broker: str = "", **more: str) -> StackFile:
    sections = {
        "store": f"{{kind: swarm{store}}}",
        "server": f'{{kind: swarm, image: "{IMAGE}"{server}}}',
        "broker": f"{{kind: coreflux, host: mqtt.example.com{broker}}}",
        **more,
    }
    return StackFile.read("\n".join(["config:", *(f"  {name}: {text}" for name, text in sections.items())]))


def on_swarm(
    store: str = "",
    server: str = "",
    broker: str = "",
    *,
    stack: str = "prod",
    preview: bool = False,
    attached: Sequence[MountedSecret] = (),
    **more: str,
) -> Deployed:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mcp_server, "mounted_secrets", lambda _name: tuple(attached))
        patch.setattr(deployer, "ask_manager", lambda: None)
        return deploy(file_on_swarm(store, server, broker, **more), stack, preview=preview)


def spec(deployed: Deployed, name: str) -> Any:
    return deployed.resources[name].inputs["taskSpec"]["containerSpec"]
