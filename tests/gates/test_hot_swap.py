"""The server's clients call without pause, and see no failure, however a credential changes."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
import pytest

from secretops.operations.status import status
from secretops.targets import reports
from secretops.values import new_password
from tests.gates.conftest import MakeStack
from tests.real.cloud_stack import CloudStack
from tests.real.launched import until
from tests.real.load import DEADLINE, Load, OtherClient
from tests.real.mosquitto import Mosquitto
from tests.real.served import ServedByLauncher, prepared_cloud_stack, prepared_stack, public

pytestmark = pytest.mark.real

Change = Callable[[ServedByLauncher, Mosquitto], Awaitable[None]]


@pytest.fixture
def served(
    request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto, server_folder: Path, stack_on: MakeStack
) -> ServedByLauncher:
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    if not hasattr(request, "param"):
        return ServedByLauncher(prepared_stack(tmp_path / "store", mosquitto), cwd, server_folder)
    stack = prepared_cloud_stack(cast(CloudStack, stack_on("mosquitto", request.param)), mosquitto)
    output = {"MQTT_BROKER": "localhost", "LOG_LEVEL": "INFO", **public(mosquitto)}
    return ServedByLauncher(stack, cwd, server_folder, output)


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


@pytest.mark.parametrize(
    ("served", "launchers", "rotations"),
    [("vault", 1, 1), *(pytest.param(store, 3, 10, marks=pytest.mark.slow) for store in ("aws", "azure", "vault"))],
    indirect=["served"],
)
def test_hinted_version_is_in_use_without_a_poll(
    served: ServedByLauncher, launchers: int, rotations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a hint, the next poll would be days later."""
    monkeypatch.setattr(reports, "HINT_SECONDS", DEADLINE)

    async def scenario() -> None:
        async with AsyncExitStack() as running:
            all_of_them = [
                replace(served, folder=served.folder / str(number), every=1e6) for number in range(launchers)
            ]
            for one in all_of_them:
                one.folder.mkdir()
                await running.enter_async_context(one.listening())
            for _ in range(rotations):
                served.stack.skip_grace()
                version = await anyio.to_thread.run_sync(served.stack.rotate)
                for one in all_of_them:
                    await one.takes("mqtt", version)

    anyio.run(scenario)


def hold(served: ServedByLauncher, mosquitto: Mosquitto, transport: str, rotations: int, least_calls: int) -> None:
    stack = served.stack

    async def scenario() -> Load:
        async with served.seats(transport) as seats:
            load = Load(seats, other)
            await load.subscribe()
            with other.feeding():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(load.run)
                    changes: list[Change] = [*[rotation] * rotations, retirement, certificate, agent_key, *MISHAPS]
                    for change in (*changes, rotation):
                        await change(served, mosquitto)
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
            assert next(one for one in standing if one.name == "mqtt").replica_counts == "1 current"
            return load

    with OtherClient(mosquitto) as other:
        load = anyio.run(scenario)
    swaps = served.swaps()
    assert load.failures == []
    assert load.calls >= least_calls
    assert load.lost_publishes() == set()
    assert load.unread() == set()
    assert len(swaps) >= rotations + 2
    assert served.log.count("A new version was rejected") >= 2
    assert "Traceback" not in served.log
    for value in filter(None, (stack.credential()["password"], served.token)):
        assert value not in served.log
    until("no report of a server that has ended", lambda: served.reports() == ())  # rolled back at the end


async def rotation(served: ServedByLauncher, _mosquitto: Mosquitto) -> None:
    await served.takes("mqtt", await anyio.to_thread.run_sync(served.stack.rotate))


async def retirement(served: ServedByLauncher, _mosquitto: Mosquitto) -> None:
    stack, before = served.stack, served.stack.credential()
    await anyio.to_thread.run_sync(stack.tick)
    previous = stack.session().store.versions("mqtt").previous
    assert previous and previous.retired, "the idle user was not scrambled, although no server is on it"
    assert previous.user == next(user for user in stack.manifest.secret("mqtt").users if user != before["username"])


async def certificate(served: ServedByLauncher, mosquitto: Mosquitto) -> None:
    await put(served, "client-cert", mosquitto.client_certificate("another"))


async def agent_key(served: ServedByLauncher, _mosquitto: Mosquitto) -> None:
    await put(served, "agent-key", {"api-key": new_password()})


async def put(served: ServedByLauncher, name: str, value: Mapping[str, str]) -> None:
    await served.takes(name, await anyio.to_thread.run_sync(served.stack.put, name, value))


async def mishap(
    name: str, field: str, text: str, reported: str, served: ServedByLauncher, _mosquitto: Mosquitto
) -> None:
    mend = await anyio.to_thread.run_sync(served.stack.spoil, name, field, text)
    await served.refuses(reported)
    await anyio.to_thread.run_sync(mend)
    await served.recovers()


BROKEN = "-----BEGIN PRIVATE KEY-----\nbroken\n"
MISHAPS = (
    partial(mishap, "mqtt", "password", "this-is-not-the-password", "broker-credential-refused"),
    partial(mishap, "client-cert", "client.key", BROKEN, "tls-files-invalid"),
)
