"""Compare the launcher with the upstream server alone: how changed secrets affect users, and what each costs."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import os
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import anyio

from bench.baseline import Baseline
from bench.page import Measured, PartMissingError, spread, table
from secretops.errors import SecretopsError
from secretops.launcher.checkout import UPSTREAM_COMMIT, find_server
from tests.gates.test_hot_swap import MISHAPS, Change, agent_key, certificate, retirement, rotation
from tests.real.load import DEADLINE, Load, OtherClient, Seat
from tests.real.mosquitto import Mosquitto, installed_mosquitto, start_mosquitto
from tests.real.served import ServedByLauncher, prepared_stack
from tests.real.upstream import real_server

# Limits for the launcher: milliseconds of the median swap of MQTT clients, and the minimal number of calls.
LONGEST_SWAP, LEAST_CALLS = 100, 2000

# Seconds without a change at the start, and seconds at the end in which an acknowledged publish may still arrive.
QUIET_SECONDS, SETTLE_SECONDS = 3.0, 5.0

QUIET = "no change, for comparison"
CHANGES: Sequence[tuple[str, Change]] = (
    *[("rotation", rotation)] * 10,
    ("retirement of the replaced user", retirement),
    ("client certificate", certificate),
    ("agent key", agent_key),
    ("wrong password, and its repair", MISHAPS[0]),
    ("broken PEM, and its repair", MISHAPS[1]),
    ("rotation", rotation),
)

# For the cost while nothing changes: the number of starts of each form; per start, the number of counted calls of each
# tool, and of uncounted calls before them; the number of messages in an answer of mqtt_read_messages; and the seconds
# without a call.
STARTS, CALLS, WARM_UP, MESSAGES, IDLE_SECONDS = 3, 300, 20, 10, 10.0

BASELINE, STDIO, HTTP = "server alone, stdio", "launcher, stdio", "launcher, HTTP"
FORMS = (BASELINE, STDIO, HTTP)


@dataclass
class Run:
    load: Load
    lost: int  # Publishes that were answered with success and have not arrived.
    effects: list[tuple[str, float, int]]  # Per change: name, most seconds without a good answer, failed calls.
    swaps: list[int]  # Milliseconds.
    restarts: int


@dataclass
class Cost:
    """The cost of one entry of FORMS. Each list has an item per server start."""

    start: list[float] = field(default_factory=list)  # Seconds until a publish was answered with success.
    memory: list[float] = field(default_factory=list)  # Resident MiB after the calls.
    publish: list[list[float]] = field(default_factory=list)  # Milliseconds of each call.
    read: list[list[float]] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)  # CPU seconds per minute without a call.


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    if not (installed := installed_mosquitto()):
        raise PartMissingError("mosquitto with its dynamic security plugin")
    try:
        server = real_server() or find_server()
    except SecretopsError as error:
        raise PartMissingError(str(error)) from error
    (folder / "broker").mkdir()
    mosquitto = start_mosquitto(folder / "broker")
    try:
        costs = {form: Cost() for form in FORMS}
        for turn, form in itertools.product(range(STARTS), FORMS):
            say(f"{form}: start {turn + 1} of {STARTS}")
            anyio.run(_cost, _served(folder / f"{form} {turn}", form, mosquitto, server), form, costs[form])
        runs = []
        for form in (HTTP, BASELINE):
            say(f"users through every change: {form}")
            runs.append(anyio.run(_users, _served(folder / form, form, mosquitto, server), mosquitto, say))
    finally:
        mosquitto.stop()
    text = (
        f"### Clients that call through every change\n\n{table(_users_rows(*runs))}\n\n"
        f"### The longest time between two successful answers to a client\n\n{table(_effects_rows(*runs))}\n\n"
        f"### What the launcher costs while nothing changes\n\n{STARTS} starts of each, {CALLS} calls of each tool "
        f"after each start, then {IDLE_SECONDS:.0f} s idle.\n\n{table(_cost_rows(costs))}"
    )
    return Measured(text, broken_promises(runs[0]), _versions(installed[0]))


def broken_promises(run: Run) -> list[str]:
    """Return a text for each limit that the run exceeds, such as failed calls, lost messages and slow swaps."""
    load, swap = run.load, statistics.median(run.swaps)
    checks = {
        f"{len(load.failures)} of {load.calls} calls failed": bool(load.failures),
        f"{load.calls} calls are too few": load.calls < LEAST_CALLS,
        f"{run.lost} acknowledged publishes never arrived": run.lost > 0,
        f"{len(load.unread())} messages to subscribed topics are lost": bool(load.unread()),
        f"swaps take {swap:.0f} ms, more than {LONGEST_SWAP}": swap > LONGEST_SWAP,
    }
    return [words for words, is_broken in checks.items() if is_broken]


def _versions(mosquitto: str) -> str:
    help_text = subprocess.run([mosquitto, "-h"], capture_output=True, text=True, check=False).stdout
    broker = help_text.partition("\n")[0].replace(" version", "")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mcp", "paho-mqtt"))
    return f"upstream server {UPSTREAM_COMMIT[:12]}, {packages}, {broker} with TLS and client certificates"


def _served(folder: Path, form: str, mosquitto: Mosquitto, server: Path) -> ServedByLauncher:
    cwd = folder / "cwd"
    cwd.mkdir(parents=True)
    stack = prepared_stack(folder / "store", mosquitto)
    return cast(ServedByLauncher, (Baseline if form == BASELINE else ServedByLauncher)(stack, cwd, server))


async def _users(served: ServedByLauncher, mosquitto: Mosquitto, say: Callable[[str], None]) -> Run:
    windows: list[tuple[str, float, float, int]] = []

    async def window(name: str, change: Callable[[], Awaitable[object]]) -> None:
        begin, failed = time.monotonic(), len(load.failures)
        await change()
        await load.all_answered()
        windows.append((name, begin, time.monotonic(), len(load.failures) - failed))

    with OtherClient(mosquitto) as other:
        async with served.seats("http") as seats:
            load = Load(seats, other)
            await load.subscribe()
            with other.feeding():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(load.run)
                    await anyio.sleep(QUIET_SECONDS / 2)  # its first calls are slower
                    await window(QUIET, partial(anyio.sleep, QUIET_SECONDS))
                    for name, change in CHANGES:
                        say(f"  {name}")
                        await window(name, partial(change, served, mosquitto))
                    while load.calls - len(load.failures) < LEAST_CALLS:
                        await anyio.sleep(0.1)
                    load.stop()
            with anyio.move_on_after(SETTLE_SECONDS):
                while load.lost_publishes():
                    await anyio.sleep(0.05)
            before = set(load.read)
            with anyio.move_on_after(DEADLINE):
                await load.read_all()  # what was read before counts, too
            load.read.update(before)
    effects = [(name, _longest_gap(load, begin, end), failed) for name, begin, end, failed in windows]
    swaps = served.swaps() if isinstance(served, ServedByLauncher) else []
    return Run(load, len(load.lost_publishes()), effects, swaps, getattr(served, "restarts", 0))


def _longest_gap(load: Load, begin: float, end: float) -> float:
    gaps = (
        after - before for times in load.answered for before, after in itertools.pairwise(times) if begin < after <= end
    )
    return max(gaps, default=0.0)


async def _cost(served: ServedByLauncher | Baseline, form: str, cost: Cost) -> None:
    began = time.monotonic()
    async with _one_seat(served, form) as seat:
        publish = partial(_call, seat, "mqtt_publish", topic="said/0", message=json.dumps({"n": 0}), qos=1)
        read = partial(_call, seat, "mqtt_read_messages", topic="said/0", max_messages=MESSAGES)
        await publish()
        cost.start.append(time.monotonic() - began)
        await _call(seat, "mqtt_subscribe", topic="said/#", qos=1)
        for _ in range(MESSAGES):
            await publish()
        times = [(await publish(), await read()) for _ in range(WARM_UP + CALLS)][WARM_UP:]
        cost.publish.append([one for one, _ in times])
        cost.read.append([one for _, one in times])
        process = _process_in(served.folder)
        memory = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS:"))
        cost.memory.append(int(memory.split()[1]) / 1024)
        before, began = _processor_seconds(process), time.monotonic()
        await anyio.sleep(IDLE_SECONDS)
        cost.idle.append((_processor_seconds(process) - before) / (time.monotonic() - began) * 60)


@asynccontextmanager
async def _one_seat(served: ServedByLauncher | Baseline, form: str) -> AsyncIterator[Seat]:
    if isinstance(served, Baseline):
        async with served.session() as session:
            yield Seat(session)
    else:
        async with served.seats("http" if form == HTTP else "stdio", clients=1) as (seat,):
            yield seat


async def _call(seat: Seat, tool: str, **arguments: object) -> float:
    began = time.monotonic()
    good, text = await seat.call(tool, arguments)
    took = 1000 * (time.monotonic() - began)
    assert good, f"{tool}: {text}"
    return took


def _process_in(folder: Path) -> Path:
    def runs_here(process: Path) -> bool:
        try:
            return process.name.isdigit() and (process / "cwd").resolve(strict=True) == folder.resolve()
        except OSError:
            return False

    (found,) = filter(runs_here, Path("/proc").iterdir())
    return found


def _processor_seconds(process: Path) -> float:
    user, system = (process / "stat").read_text().rpartition(")")[2].split()[11:13]  # fields 14 and 15 of proc(5)
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _users_rows(launcher: Run, alone: Run) -> Iterator[Sequence[str]]:
    both = launcher.load, alone.load
    yield "", "launcher, HTTP", "server alone, restarted"
    yield "calls", *(f"{load.calls:,}" for load in both)
    yield "failed calls", *(f"**{len(load.failures):,}**" for load in both)
    yield "publishes for which the tool reported success", *(f"{len(load.output):,}" for load in both)
    yield "such publishes that never arrived", *(f"**{run.lost:,}**" for run in (launcher, alone))
    yield "messages to subscribed topics", *(f"{load.other.fed:,}" for load in both)
    yield "such messages that no client got", *(f"**{len(load.unread()):,}**" for load in both)
    yield "time of a successful call, median", *(f"{1000 * statistics.median(load.seconds):.1f} ms" for load in both)
    yield "the same, 99th percentile", *(f"{1000 * _p99(load.seconds):.1f} ms" for load in both)
    yield "swaps of the client, or restarts", f"{len(launcher.swaps)}", f"{alone.restarts}"
    yield "time of a swap: connect, subscribe, replace", spread(launcher.swaps, "ms", 0), "–"


def _effects_rows(*runs: Run) -> Iterator[Sequence[str]]:
    yield "change", "times", "launcher", "failed calls", "server alone", "failed calls"
    for name in dict.fromkeys([QUIET, *(name for name, _ in CHANGES)]):
        found = [[(gap, failed) for change, gap, failed in run.effects if change == name] for run in runs]
        cells = [(spread([gap for gap, _ in of], "s", 2), f"{sum(failed for _, failed in of):,}") for of in found]
        yield (name, f"{len(found[0])}", *itertools.chain(*cells))


def _cost_rows(costs: dict[str, Cost]) -> Iterator[Sequence[str]]:
    def calls(figure: Callable[[Sequence[float]], float], of: Callable[[Cost], list[list[float]]]) -> list[str]:
        return [spread([figure(times) for times in of(cost)], "ms", 1) for cost in costs.values()]

    yield "", *costs
    yield "from the start to the first successful publish", *(spread(cost.start, "s", 2) for cost in costs.values())
    for tool, of in (("publish", lambda cost: cost.publish), ("get messages", lambda cost: cost.read)):
        yield f"{tool}, median", *calls(statistics.median, of)
        yield f"{tool}, 99th percentile", *calls(_p99, of)
    yield "resident memory after the calls", *(spread(cost.memory, "MiB", 0) for cost in costs.values())
    yield "processor time a minute while idle", *(spread(cost.idle, "s", 2) for cost in costs.values())


def _p99(numbers: Sequence[float]) -> float:
    return statistics.quantiles(numbers, n=100, method="inclusive")[-1]
