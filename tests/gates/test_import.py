"""A server moves from its .env to a stack, and gets its first rotated password, while clients call without pause."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp import ClientSession

from bench.baseline import Baseline
from secretops.manifest import SecretKind
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.real.launched import ON_UPSTREAMS_SERVER
from tests.real.load import CLIENTS, Load, OtherClient, Seat
from tests.real.mcp_client import call_tool, stdio_session
from tests.real.mosquitto import Mosquitto
from tests.real.served import GRACE, ServedByLauncher, public
from tests.real.stack import Stack, make_stack

pytestmark = pytest.mark.real

LEAST_CALLS = 100


@pytest.fixture
def today(tmp_path: Path, mosquitto: Mosquitto) -> Stack:
    """Return the folder of a server that runs without secretops, with the layout of the Secret Management Guide."""
    user = Value({"username": f"plant-{new_password()[:8]}", "password": new_password()})
    open_target(mosquitto.broker(), SecretKind.MQTT_USER).apply(mosquitto.admin, user)
    stack = make_stack(tmp_path / "today", mosquitto.broker())
    lines = {**public(mosquitto), "MQTT_USER": user["username"], "MQTT_PASSWORD": user["password"]}
    lines["DO_AGENT_API_KEY"] = new_password()
    files = {"ca.crt": "MQTT_CA_CERT", "client.crt": "MQTT_CLIENT_CERT", "client.key": "MQTT_CLIENT_KEY"}
    for name, text in mosquitto.client_certificate().items():
        path = stack.root / "certs" / name
        path.write_text(text)
        lines[files[name]] = str(path)
    stack.env.write_text("".join(f"{name}={text}\n" for name, text in ({"MQTT_BROKER": "localhost"} | lines).items()))
    return stack


@pytest.fixture
def stack(tmp_path: Path, mosquitto: Mosquitto) -> Stack:
    stack = make_stack(tmp_path / "store", mosquitto.broker(), grace_seconds=GRACE)
    stack.env.write_text(
        stack.env.read_text() + "".join(f"{name}={text}\n" for name, text in public(mosquitto).items())
    )
    return stack


@asynccontextmanager
async def subscribed(opened: AbstractAsyncContextManager[ClientSession]) -> AsyncIterator[ClientSession]:
    async with opened as session:
        for client in range(CLIENTS):
            await call_tool(session, "mqtt_subscribe", topic=f"feed/{client}/#", qos=1)
        yield session


@ON_UPSTREAMS_SERVER
def test_no_call_fails_from_the_env_file_to_the_first_rotation(
    tmp_path: Path, mosquitto: Mosquitto, server_folder: Path, today: Stack, stack: Stack
) -> None:
    folder = tmp_path / "cwd"
    folder.mkdir()
    before, served, seat = (
        Baseline(today, folder, server_folder),
        ServedByLauncher(stack, folder, server_folder),
        Seat(),
    )
    user = today.credential()

    async def serve(
        opened: AbstractAsyncContextManager[ClientSession],
        over: anyio.Event,
        *,
        task_status: anyio.abc.TaskStatus[None],
    ) -> None:
        """Serve the clients' next calls with this server, until `over` is set."""
        async with subscribed(opened) as session:
            seat.give(session)
            task_status.started()
            await over.wait()

    async def done(work: Callable[[], object]) -> None:
        """Run `work` while every client calls."""
        await anyio.to_thread.run_sync(work)
        await load.all_answered()

    async def scenario() -> None:
        first, second = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as servers:
            await servers.start(serve, before.session(), first)
            with other.feeding():
                async with anyio.create_task_group() as clients:
                    clients.start_soon(load.run)
                    await done(lambda: stack.run("import", "--from", str(today.root)).check_returncode())
                    assert stack.credential() == user
                    await done(lambda: stack.put("broker-admin", dict(mosquitto.admin)))
                    launcher = stdio_session(served.command, served.environment, folder, served.log_file)
                    await servers.start(serve, launcher, second)
                    await load.all_answered()
                    await load.all_answered()  # no client waits for the first server
                    first.set()
                    version = await anyio.to_thread.run_sync(stack.rotate)
                    await served.takes("mqtt", version)
                    await load.all_answered()
                    stack.skip_grace()
                    outcomes = {one.secret: one for one in await anyio.to_thread.run_sync(stack.tick)}
                    assert any("kept your user" in text for text in outcomes["mqtt"].done), outcomes["mqtt"]
                    await load.all_answered()
                    while load.calls < LEAST_CALLS:
                        await anyio.sleep(0.1)
                    load.stop()
            await served.until("every acknowledged publish", lambda: not load.lost_publishes())
            second.set()

    with OtherClient(mosquitto) as other:
        load = Load([seat], other)
        anyio.run(scenario)
    assert load.failures == []
    assert load.lost_publishes() == set()
    assert stack.credential()["username"] == stack.manifest.secret("mqtt").users[0]
    assert stack.log_in(user) == "Success"
