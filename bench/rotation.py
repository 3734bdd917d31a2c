"""Measure how long a rotation takes on each store, how many calls it makes, and when every replica uses the new
version.

The tests below run in pytest, whose fixtures start the brokers and stores. They assert nothing. They record properties,
which `measure` reads.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

import secretops
from bench.page import ROOT, Measured, PartMissingError, RunFailedError, spread, table
from secretops.launcher.checkout import find_server
from tests.gates.conftest import MakeStack
from tests.real.mosquitto import Mosquitto
from tests.real.served import ServedByLauncher, prepared_stack
from tests.real.stack import Readers, Stack
from tests.real.upstream import real_server

ROTATIONS = 7
REPLICAS = 3

# Test -> its row's first columns: the store and the broker.
ROWS: Mapping[str, tuple[str, str]] = {
    "test_store[variables-mosquitto]": ("a folder", "mosquitto"),
    "test_store[variables-coreflux]": ("a folder", "the embedded broker"),
    "test_kubernetes": ("Secrets of a real API server", "mosquitto"),
    "test_store[aws-mosquitto]": ("Secrets Manager (an emulator)", "mosquitto"),
    "test_store[azure-mosquitto]": ("Key Vault (an emulator)", "mosquitto"),
    "test_store[vault-mosquitto]": ("OpenBao", "mosquitto"),
}

Figures = Mapping[str, Any]
Record = Callable[[str, object], None]


@dataclass
class _Listener:
    say: Callable[[str], None]
    figures: dict[str, Figures] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.skipped:
            self.missing.append(f"{name}: {report.longrepr}")
        if report.failed:
            self.failed.append(report.longreprtext)
        if report.when == "call" and report.passed:
            self.say(name)
            self.figures[name] = dict(report.user_properties)


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    listener = _Listener(say)
    plugins = ("tests.conftest", "tests.gates.conftest", "no:cacheprovider", "no:terminal", "no:xdist")
    options = ["-oaddopts=", f"--rootdir={ROOT}", f"--basetemp={folder / 'pytest'}", *(f"-p{name}" for name in plugins)]
    code = pytest.main([*options, __file__], plugins=[listener])
    if listener.missing:
        raise PartMissingError(listener.missing[0])
    if code != pytest.ExitCode.OK:
        raise RunFailedError("\n".join([f"{__file__} under pytest ended with {code}", *listener.failed]))
    failed = sum(figures.get("failed", 0) for figures in listener.figures.values())
    broken = [f"{failed} logins of readers failed"] if failed else []
    replicas = listener.figures["test_replicas"]
    text = (
        f"All {REPLICAS} servers on the folder's store use the new version {spread(replicas['seconds'], 's', 2)} "
        f"after `secretops rotate mqtt` began, and {spread(replicas['after'], 's', 2)} after the command ended."
    )
    return Measured(f"{table(rows(listener.figures))}\n\n{text}", broken)


def rows(figures: Mapping[str, Figures]) -> Iterator[tuple[str, ...]]:
    yield "store", "broker", "a rotation", "calls in secretops", "reads of versions", "logins meanwhile", "failed"
    for name, words in ROWS.items():
        of = figures[name]
        counts = (f"{of[count]:,}" for count in ("calls", "reads", "connects"))
        yield (*words, spread(of["seconds"], "s", 2), *counts, f"**{of['failed']}**")


@pytest.mark.parametrize(
    ("store", "target"),
    [("variables", "mosquitto"), ("variables", "coreflux"), *((one, "mosquitto") for one in ("aws", "azure", "vault"))],
)
def test_store(stack_on: MakeStack, store: str, target: str, record_property: Record) -> None:
    timed(stack_on(target, store), record_property)


def test_kubernetes(
    request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto, record_property: Record
) -> None:
    from tests.real.cluster_stack import make_cluster_stack

    stack = make_cluster_stack(tmp_path, mosquitto.broker(), request.getfixturevalue("cluster"))
    stack.put("broker-admin", dict(mosquitto.admin))
    timed(stack, record_property)


def timed(stack: Stack, record: Record) -> None:
    """Rotate the secret `mqtt` repeatedly, while two readers read it and log in."""
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
    stack.skip_grace()
    with _counted(type(stack.session().store)) as counts:
        stack.rotate()
    for name, count in counts.items():
        record(name, count)


@contextmanager
def _counted(store: type) -> Iterator[dict[str, int]]:
    """Count this thread's calls of functions in secretops, and of the method `versions` of `store`."""
    counts, package = {"calls": 0, "reads": 0}, str(Path(secretops.__file__).parent)

    def count(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package):
            counts["calls"] += 1
            counts["reads"] += code.co_name == "versions" and isinstance(frame.f_locals.get("self"), store)

    sys.setprofile(count)
    try:
        yield counts
    finally:
        sys.setprofile(None)


def test_replicas(tmp_path: Path, mosquitto: Mosquitto, record_property: Record) -> None:
    """Measure the seconds until every server uses the new version: since the command began, and since the publish."""
    stack, server = prepared_stack(tmp_path / "store", mosquitto), real_server() or find_server()
    served = [ServedByLauncher(stack, tmp_path / str(number), server) for number in range(REPLICAS)]
    seconds, after = anyio.run(_replicas, stack, served)
    record_property("seconds", seconds)
    record_property("after", after)


async def _replicas(stack: Stack, served: list[ServedByLauncher]) -> tuple[list[float], list[float]]:
    seconds, after = [], []
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
            seconds.append(time.monotonic() - began)
            after.append(time.monotonic() - found)
        stop.set()
    return seconds, after


async def _serve(one: ServedByLauncher, is_ready: anyio.Event, stop: anyio.Event) -> None:
    async with one.listening():
        is_ready.set()
        await stop.wait()


def _all_are_on(served: list[ServedByLauncher], version: str) -> bool:
    # Read from the logs, because the servers' reports at the broker arrive later.
    return all(f"Using version {version} of mqtt" in one.log for one in served)
