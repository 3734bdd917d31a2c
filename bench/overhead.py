"""What the launcher costs while nothing changes: start, memory, a call's time, and the processor when nobody calls."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from bench.bare import BareServer
from tests.real.load import Seat
from tests.real.mosquitto import Mosquitto
from tests.real.served import ServedByLauncher, prepared_stack

REPEATS = 3
"""Starts of each, in turn, so that what else the machine does hits all alike."""

CALLS = 300
"""Of each tool at each start."""

WARM_UP = 20
"""Calls of each tool before that."""

MESSAGES = 10
"""In the answer of mqtt_read_messages."""

IDLE_SECONDS = 20.0
IDLE_REPEATS = 3

BARE, STDIO, HTTP = "bare, stdio", "launcher, stdio", "launcher, HTTP"
FORMS = (BARE, STDIO, HTTP)

_MEBIBYTE = 1024  # of the kibibytes that /proc tells


@dataclass
class Cost:
    """What one form of the server costs; a list has a number for each repeat."""

    start: list[float] = field(default_factory=list)
    """Seconds from its start until a publish was answered with success."""
    memory: list[float] = field(default_factory=list)
    """Resident MiB after the calls."""
    publish: list[list[float]] = field(default_factory=list)
    """Seconds of each call."""
    read: list[list[float]] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)
    """Seconds of the processor in a minute without a call."""


def measure(folder: Path, mosquitto: Mosquitto, server: Path, say: Callable[[str], None]) -> dict[str, Cost]:
    """Every form REPEATS times alone, then all together at rest."""
    return anyio.run(_measure, folder, mosquitto, server, say)


async def _measure(folder: Path, mosquitto: Mosquitto, server: Path, say: Callable[[str], None]) -> dict[str, Cost]:
    costs = {form: Cost() for form in FORMS}
    places = [_Place(folder / str(number), form, mosquitto, server) for number, form in enumerate(FORMS)]
    for repeat in range(REPEATS):
        for place in places:
            say(f"  {place.form}: start {repeat + 1} of {REPEATS}")
            async with AsyncExitStack() as stack:
                await _calls(place, stack, costs[place.form])
    say(f"  all at rest: {IDLE_REPEATS} times {IDLE_SECONDS:.0f} s")
    async with AsyncExitStack() as stack:
        for place in places:
            await place.start(stack)
        for _ in range(IDLE_REPEATS):
            before = [place.processor_seconds() for place in places]
            began = time.monotonic()
            await anyio.sleep(IDLE_SECONDS)
            minutes = (time.monotonic() - began) / 60
            for place, used in zip(places, before, strict=True):
                costs[place.form].idle.append((place.processor_seconds() - used) / minutes)
    return costs


async def _calls(place: _Place, stack: AsyncExitStack, cost: Cost) -> None:
    began = time.monotonic()
    seat = await place.start(stack)
    cost.start.append(time.monotonic() - began)
    await _call(seat, "mqtt_subscribe", topic="said/#", qos=1)
    for _ in range(MESSAGES):
        await _publish(seat)
    publish, read = [], []
    for turn in range(WARM_UP + CALLS):
        times = await _publish(seat), await _call(seat, "mqtt_read_messages", topic="said/0", max_messages=MESSAGES)
        if turn >= WARM_UP:
            publish.append(times[0])
            read.append(times[1])
    cost.publish.append(publish)
    cost.read.append(read)
    cost.memory.append(place.resident_kibibytes() / _MEBIBYTE)


async def _publish(seat: Seat) -> float:
    return await _call(seat, "mqtt_publish", topic="said/0", message=json.dumps({"n": 0}), qos=1)


async def _call(seat: Seat, tool: str, **arguments: object) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    good, text = await seat.call(tool, arguments)
    took = time.monotonic() - began
    assert good, f"{tool}: {text}"
    return took


class _Place:
    """One form of the server: a stack and a working directory of its own, by which its process is known."""

    def __init__(self, folder: Path, form: str, mosquitto: Mosquitto, server: Path) -> None:
        self.form, self._server = form, server
        self._cwd = folder / "cwd"
        self._cwd.mkdir(parents=True)
        self._stack = prepared_stack(folder / "store", mosquitto)

    async def start(self, stack: AsyncExitStack) -> Seat:
        """Up to the first publish that was answered with success."""
        if self.form == BARE:
            bare = BareServer(self._stack, self._cwd, self._server)
            seat = Seat(await stack.enter_async_context(bare.session()))
        else:
            launcher = ServedByLauncher(self._stack, self._cwd, self._server)
            transport = "http" if self.form == HTTP else "stdio"
            (seat,) = await stack.enter_async_context(launcher.seats(transport, clients=1))
        await _publish(seat)
        return seat

    def processor_seconds(self) -> float:
        after_name = (self._process() / "stat").read_text().rpartition(")")[2].split()
        user, system = after_name[11:13]  # fields 14 and 15 of proc(5)
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def resident_kibibytes(self) -> int:
        lines = (self._process() / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def _process(self) -> Path:
        found = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and self._runs_here(entry)]
        assert len(found) == 1, f"{self.form}: {len(found)} processes"
        return found[0]

    def _runs_here(self, process: Path) -> bool:
        try:
            return (process / "cwd").resolve(strict=True) == self._cwd.resolve()
        except OSError:
            return False
