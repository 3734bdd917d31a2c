"""Rotations by the real engine, timed: run by pytest, for the parts that it starts. `make bench` runs it (rotation.py).

Nothing is asserted here but what a figure rests on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import anyio
import pytest

from secretops.launcher.checkout import find_server
from secretops.operations import session as sessions
from secretops.targets.digitalocean import API_VARIABLE, DigitalOceanAgent
from tests.gates.conftest import MakeStack
from tests.real.agent_stack import owned_stack
from tests.real.digitalocean import digitalocean
from tests.real.mosquitto import Mosquitto
from tests.real.own_ca import CERTIFICATE, begun, make_certified, trusting_broker
from tests.real.served import ServedByLauncher, prepared_stack
from tests.real.stack import Readers, Stack
from tests.real.upstream import real_server

ROTATIONS = 7
REPLICAS = 3

Record = Callable[[str, object], None]


@pytest.mark.parametrize("target", ["mosquitto", "coreflux"])
def test_folder(stack_on: MakeStack, target: str, record_property: Record) -> None:
    timed(stack_on(target), record_property)


def test_kubernetes(
    request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto, record_property: Record
) -> None:
    from tests.real.cluster_stack import make_cluster_stack

    stack = make_cluster_stack(tmp_path, mosquitto.broker(), request.getfixturevalue("cluster"))
    stack.put("broker-admin", dict(mosquitto.admin))
    timed(stack, record_property)


@pytest.mark.parametrize("store", ["aws", "azure", "vault"])
def test_cloud(stack_on: MakeStack, store: str, record_property: Record) -> None:
    timed(stack_on("mosquitto", store), record_property)


def timed(stack: Stack, record: Record) -> None:
    """Of mqtt, while two readers read it and log in again and again."""
    stack.rotate()
    seconds = []
    with Readers(stack, count=2) as readers:
        for _ in range(ROTATIONS):
            readers.caught_up()
            stack.skip_grace()
            began = time.monotonic()
            stack.rotate()
            seconds.append(time.monotonic() - began)
        readers.caught_up()
    record("seconds", seconds)
    record("connects", readers.connects)
    record("failed", len(readers.failures))


def test_agent_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Record) -> None:
    with digitalocean() as account:
        monkeypatch.setenv(API_VARIABLE, account.url)
        stack = owned_stack(tmp_path / "store", account)
        pauses = mock.patch.object(
            sessions, "open_agent", lambda agent, admin: DigitalOceanAgent(agent, admin=admin, sleep=stack.clock.skip)
        )
        with pauses:
            again_and_again(stack, "agent-key", record_property)


def test_client_certificate(tmp_path: Path, record_property: Record) -> None:
    with trusting_broker(tmp_path / "broker") as broker:
        again_and_again(begun(make_certified(tmp_path, broker)).stack, CERTIFICATE, record_property)


def again_and_again(stack: Stack, name: str, record: Record) -> None:
    stack.rotate(name)
    seconds = []
    for _ in range(ROTATIONS):
        stack.skip_grace()
        began = time.monotonic()
        stack.rotate(name)
        seconds.append(time.monotonic() - began)
    record("seconds", seconds)


def test_replicas(tmp_path: Path, mosquitto: Mosquitto, record_property: Record) -> None:
    """From the command until each server is on the new version, and from the moment at which readers find it."""
    stack, server = prepared_stack(tmp_path / "store", mosquitto), real_server() or find_server()
    served = [ServedByLauncher(stack, tmp_path / str(number), server) for number in range(REPLICAS)]
    all_of_it, after = anyio.run(_replicas, stack, served)
    record_property("seconds", all_of_it)
    record_property("after", after)


async def _replicas(stack: Stack, served: list[ServedByLauncher]) -> tuple[list[float], list[float]]:
    all_of_it, after = [], []
    async with anyio.create_task_group() as tasks:
        stop, ready = anyio.Event(), [anyio.Event() for _ in served]
        for one, is_ready in zip(served, ready, strict=True):
            one.folder.mkdir()
            tasks.start_soon(_serve, one, is_ready, stop)
        for is_ready in ready:
            await is_ready.wait()
        for _ in range(ROTATIONS):
            stack.skip_grace()
            began = time.monotonic()
            version = await anyio.to_thread.run_sync(stack.rotate)
            found = time.monotonic()
            await served[0].until(f"all are on {version.id}", partial(_all_are_on, served, version.id))
            all_of_it.append(time.monotonic() - began)
            after.append(time.monotonic() - found)
        stop.set()
    return all_of_it, after


async def _serve(one: ServedByLauncher, is_ready: anyio.Event, stop: anyio.Event) -> None:
    async with one.listening():
        is_ready.set()
        await stop.wait()


def _all_are_on(served: list[ServedByLauncher], version: str) -> bool:
    """By what they log when the client before is gone: to ask the broker for their reports would take longer."""
    return all(f"On version {version} of mqtt now" in one.log for one in served)
