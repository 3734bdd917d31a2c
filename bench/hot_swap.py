"""The same users, calls and changes on the launcher over HTTP, and on the bare server restarted at each change."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from bench.bare import BareServer
from bench.changes import Changes, Served
from tests.real.load import DEADLINE, Load, OtherClient, Seat
from tests.real.mosquitto import Mosquitto
from tests.real.served import ServedByLauncher, prepared_stack

ROTATIONS = 10
LEAST_CALLS = 2000
"""Of the launcher; the bare server makes as many as it can meanwhile."""

QUIET_SECONDS = 3.0
"""How long nothing changes at first: what a gap is without a change."""

SETTLE_SECONDS = 5.0
"""How long after the last call a publish that was answered with success may take to arrive."""

QUIET = "nothing, for comparison"


@dataclass
class Effect:
    """What one change did to the users."""

    change: str
    gap: float
    """Seconds: the longest that one of them was without a good answer."""
    failed: int


@dataclass
class Run:
    """What a server's users went through."""

    calls: int
    failed: int
    said: int
    lost: int
    """Publishes that were answered with success and have not arrived."""
    fed: int
    unread: int
    """Messages to subscribed topics, acknowledged by the broker, that no answer has shown."""
    seconds: list[float]
    """How long each call took that went well."""
    effects: list[Effect] = field(default_factory=list)
    swaps: list[int] = field(default_factory=list)
    """Milliseconds."""
    restarts: int = 0


def launcher(folder: Path, mosquitto: Mosquitto, server: Path, say: Callable[[str], None]) -> Run:
    """The launcher over streamable HTTP, with one client a session. `folder` is there, and empty."""
    stack, cwd = prepared_stack(folder / "store", mosquitto), folder / "cwd"
    cwd.mkdir()
    served = ServedByLauncher(stack, cwd, server)
    run = anyio.run(_scenario, served, lambda: served.seats("http"), Changes(stack, mosquitto), say)
    run.swaps = served.swaps()
    return run


def bare(folder: Path, mosquitto: Mosquitto, server: Path, say: Callable[[str], None]) -> Run:
    """The upstream server over stdio, with all clients in one session. `folder` is there, and empty."""
    stack, cwd = prepared_stack(folder / "store", mosquitto), folder / "cwd"
    cwd.mkdir()
    served = BareServer(stack, cwd, server)
    run = anyio.run(_scenario, served, served.seats, Changes(stack, mosquitto), say)
    run.restarts = served.restarts
    return run


async def _scenario(
    served: Served,
    seats: Callable[[], AbstractAsyncContextManager[list[Seat]]],
    changes: Changes,
    say: Callable[[str], None],
) -> Run:
    windows: list[tuple[str, float, float, int]] = []
    with OtherClient(changes.mosquitto) as other:
        async with seats() as given:
            load = Load(given, other)
            await load.subscribe()
            with other.feeding():
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(load.run)
                    await anyio.sleep(QUIET_SECONDS / 2)  # its first calls are slower
                    begin = time.monotonic()
                    await anyio.sleep(QUIET_SECONDS)
                    await load.all_answered()
                    windows.append((QUIET, begin, time.monotonic(), len(load.failures)))
                    todo = changes.all(ROTATIONS)
                    for number, (name, change) in enumerate(todo, 1):
                        say(f"  change {number} of {len(todo)}: {name}")
                        begin, failed = time.monotonic(), len(load.failures)
                        await change(served)
                        await load.all_answered()
                        windows.append((name, begin, time.monotonic(), len(load.failures) - failed))
                    while load.calls - len(load.failures) < LEAST_CALLS:
                        await anyio.sleep(0.1)
                    load.stop()
            with anyio.move_on_after(SETTLE_SECONDS):
                while load.lost_publishes():
                    await anyio.sleep(0.05)
            await _read_rest(load)
    return Run(
        calls=load.calls,
        failed=len(load.failures),
        said=len(load.said),
        lost=len(load.lost_publishes()),
        fed=other.fed,
        unread=len(load.unread()),
        seconds=load.seconds,
        effects=[Effect(name, _longest_gap(load, begin, end), failed) for name, begin, end, failed in windows],
    )


def _longest_gap(load: Load, begin: float, end: float) -> float:
    """Return the longest time in seconds that a client had no good answer, from begin to end."""
    gaps = (
        after - before for times in load.answered for before, after in itertools.pairwise(times) if begin < after <= end
    )
    return max(gaps, default=0.0)


async def _read_rest(load: Load) -> None:
    """Everything that the server still shows: what was read before counts too."""
    before = set(load.read)
    with anyio.move_on_after(DEADLINE):
        await load.read_all()
    load.read.update(before)
