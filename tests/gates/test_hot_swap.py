"""The server's users feel nothing: calls without pause through every way in which a credential changes.

The real upstream server where it can be had (else the small one) under the launcher, over streamable HTTP with a
bearer token for four MCP clients, and over stdio for one; rotations by the real engine on mosquitto with TLS, client
certificates and dynamic security. Every call is counted, every acknowledged publish has to reach a witness, and every
message to a subscribed topic the server's buffer.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import pytest

from secretops.operations.status import status
from secretops.targets.connection import Connection
from secretops.targets.mosquitto import DynamicSecurity
from secretops.values import Value, new_password
from tests.gates.conftest import MakeStack
from tests.real.changes import Changes
from tests.real.cloud_stack import CloudStack
from tests.real.load import DEADLINE, Load, OtherClient
from tests.real.mosquitto import Mosquitto
from tests.real.served import ServedByLauncher, prepared_cloud_stack, prepared_stack, public

pytestmark = pytest.mark.real


@pytest.fixture
def served(
    request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto, server_folder: Path, stack_on: MakeStack
) -> ServedByLauncher:
    """By a launcher that reads a folder, or a cloud's store."""
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    if not hasattr(request, "param"):
        return ServedByLauncher(prepared_stack(tmp_path / "store", mosquitto), cwd, server_folder)
    stack = prepared_cloud_stack(cast(CloudStack, stack_on("mosquitto", request.param)), mosquitto)
    said = {"MQTT_BROKER": "localhost", "LOG_LEVEL": "INFO", **public(mosquitto)}
    return ServedByLauncher(stack, cwd, server_folder, said)


@pytest.mark.parametrize(
    ("rotations", "least_calls"), [(2, 300), pytest.param(10, 2000, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_no_call_fails_while_every_credential_changes(
    rotations: int, least_calls: int, served: ServedByLauncher, mosquitto: Mosquitto
) -> None:
    hold(served, mosquitto, "http", rotations, least_calls)


@pytest.mark.slow
@pytest.mark.parametrize("served", ["aws", "azure", "vault"], indirect=True)
def test_no_call_fails_when_the_launcher_polls_a_clouds_store(served: ServedByLauncher, mosquitto: Mosquitto) -> None:
    hold(served, mosquitto, "stdio", rotations=2, least_calls=300)


def hold(served: ServedByLauncher, mosquitto: Mosquitto, transport: str, rotations: int, least_calls: int) -> None:
    """Users call, while everything changes."""
    stack = served.stack

    async def scenario() -> Load:
        async with served.seats(transport) as seats:
            load = Load(seats, other)
            await load.subscribe()
            with other.feeding():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(load.run)
                    for _name, change in Changes(stack, mosquitto).all(rotations):
                        await change(served)
                        await load.all_answered()  # so that each change came under load
                    while load.calls < least_calls:
                        await anyio.sleep(0.1)
                    load.stop()
            await served.until("every acknowledged publish", lambda: not load.lost_publishes())
            with anyio.move_on_after(DEADLINE):
                await load.read_all()
                while load.unread():
                    await anyio.sleep(0.2)
                    await load.read_all()
            standing = await anyio.to_thread.run_sync(lambda: status(stack.session()))
            assert next(one for one in standing if one.name == "mqtt").told_replicas == "1 current"
            return load

    with OtherClient(mosquitto) as other:
        load = anyio.run(scenario)
    swaps = served.swaps()
    assert load.failures == []
    assert load.calls >= least_calls
    assert load.lost_publishes() == set()
    assert load.unread() == set()
    assert len(swaps) >= rotations + 2
    assert served.log.count("A new version is not taken") >= 2
    assert "Traceback" not in served.log
    for value in filter(None, (stack.credential()["password"], served.token)):
        assert value not in served.log
    assert served.reports() == ()  # taken back at the end


@pytest.mark.slow
def test_version_whose_user_may_not_subscribe_the_same_is_refused(
    served: ServedByLauncher, mosquitto: Mosquitto
) -> None:
    """It logs in, so only the broker's answers to the subscriptions tell."""
    stack = served.stack
    weak = Value({"username": f"weak-{new_password()[:8]}", "password": new_password()})
    with Connection(mosquitto.broker(), mosquitto.admin) as connection:
        DynamicSecurity(connection).run("createClient", username=weak["username"], password=weak["password"], roles=[])

    async def scenario() -> None:
        async with served.seats("stdio") as (seat,):
            assert (await seat.call("mqtt_subscribe", {"topic": "feed/#", "qos": 1}))[0]
            whole, credential = stack.env.read_text(), stack.credential()
            for field_name in ("username", "password"):
                whole = whole.replace(credential[field_name], weak[field_name])
            stack.env.write_text(whole)
            await served.until_logged("does not let user")
            assert (await seat.call("mqtt_publish", {"topic": "said/0", "message": "{}", "qos": 1}))[0]
            assert served.swaps() == []

    anyio.run(scenario)
    assert "feed/#" in served.log
    assert weak["password"] not in served.log
