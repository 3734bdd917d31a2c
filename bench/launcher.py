"""The launcher beside the bare upstream server: what it costs, and what it spares its users."""

from __future__ import annotations

import importlib.metadata
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench import hot_swap, overhead
from bench.hot_swap import QUIET, Run
from bench.measured import Measured, PartMissingError
from bench.overhead import BARE, FORMS, Cost
from bench.page import spread, table
from secretops.errors import SecretopsError
from secretops.launcher.checkout import UPSTREAM_COMMIT, find_server
from tests.real.mosquitto import installed_mosquitto, start_mosquitto
from tests.real.upstream import real_server

LONGEST_SWAP = 100
"""Milliseconds, for the median."""


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """All of it. Raises PartMissingError."""
    if not (installed := installed_mosquitto()):
        raise PartMissingError("mosquitto with its dynamic security plugin")
    try:
        server = real_server() or find_server()
    except SecretopsError as error:
        raise PartMissingError(str(error)) from error
    for part in ("broker", "launcher", "bare"):
        (folder / part).mkdir()
    mosquitto = start_mosquitto(folder / "broker")
    try:
        say("cost while nothing changes")
        costs = overhead.measure(folder / "overhead", mosquitto, server, say)
        say("users through every change: the launcher over HTTP")
        launcher = hot_swap.launcher(folder / "launcher", mosquitto, server, say)
        say("users through every change: the bare server, restarted")
        bare = hot_swap.bare(folder / "bare", mosquitto, server, say)
    finally:
        mosquitto.stop()
    return Measured(render(launcher, bare, costs), broken_promises(launcher), parts(installed[0]))


def broken_promises(launcher: Run) -> list[str]:
    """What the launcher's users were not spared."""
    swap = statistics.median(launcher.swaps)
    checks = {
        f"{launcher.failed} of {launcher.calls} calls failed": launcher.failed > 0,
        f"{launcher.calls} calls are too few": launcher.calls < hot_swap.LEAST_CALLS,
        f"{launcher.lost} acknowledged publishes never arrived": launcher.lost > 0,
        f"{launcher.unread} messages to subscribed topics are lost": launcher.unread > 0,
        f"swaps take {swap:.0f} ms, more than {LONGEST_SWAP}": swap > LONGEST_SWAP,
    }
    return [told for told, is_broken in checks.items() if is_broken]


def parts(mosquitto: str) -> str:
    """With what it was measured."""
    help_text = subprocess.run([mosquitto, "-h"], capture_output=True, text=True, check=False).stdout
    broker = help_text.partition("\n")[0].replace(" version", "")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mcp", "paho-mqtt"))
    return f"upstream server {UPSTREAM_COMMIT[:12]}, {packages}, {broker} with TLS and client certificates"


def render(launcher: Run, bare: Run, costs: dict[str, Cost]) -> str:
    """All the figures, as Markdown."""
    return "\n\n".join([_changes(launcher, bare), _effects(launcher, bare), _costs(costs)])


def _changes(launcher: Run, bare: Run) -> str:
    rows = [
        ("", "launcher, HTTP", "bare server, restarted"),
        ("calls", f"{launcher.calls:,}", f"{bare.calls:,}"),
        ("of them failed", f"**{launcher.failed:,}**", f"**{bare.failed:,}**"),
        ("publishes answered with success", f"{launcher.said:,}", f"{bare.said:,}"),
        ("of them never arrived", f"**{launcher.lost:,}**", f"**{bare.lost:,}**"),
        ("messages to subscribed topics", f"{launcher.fed:,}", f"{bare.fed:,}"),
        ("of them shown to no client", f"**{launcher.unread:,}**", f"**{bare.unread:,}**{_each(bare)}"),
        ("a call that went well, median", *(_milliseconds(statistics.median(run.seconds)) for run in (launcher, bare))),
        ("99 of 100 took at most", *(_milliseconds(_p99(run.seconds)) for run in (launcher, bare))),
        ("swaps; restarts", f"{len(launcher.swaps)}", f"{bare.restarts}"),
        ("a swap: connect, subscribe, change over", spread(launcher.swaps, "ms", 0), "–"),
    ]
    return "### Users who call through every change\n\n" + table(rows)


def _each(bare: Run) -> str:
    """The changes come without rest: how many are lost at one says more than how many of all."""
    return f" ({bare.unread / bare.restarts:,.0f} a restart)" if bare.restarts else ""


def _effects(launcher: Run, bare: Run) -> str:
    names = list(dict.fromkeys(effect.change for effect in launcher.effects))
    rows: list[tuple[str, ...]] = [("change", "times", "launcher", "failed", "bare server", "failed")]
    for name in names:
        found = [[effect for effect in run.effects if effect.change == name] for run in (launcher, bare)]
        cells = [
            cell
            for effects in found
            for cell in (
                spread([effect.gap for effect in effects], "s", 2),
                f"{sum(effect.failed for effect in effects):,}",
            )
        ]
        rows.append((name, str(len(found[0])), *cells))
    changed = [[effect.gap for effect in run.effects if effect.change != QUIET] for run in (launcher, bare)]
    rows.append(("all changes", str(len(changed[0])), spread(changed[0], "s", 2), "", spread(changed[1], "s", 2), ""))
    return "### The longest that a user was without a good answer\n\n" + table(rows)


def _costs(costs: dict[str, Cost]) -> str:
    def row(name: str, values: Iterable[str]) -> tuple[str, ...]:
        return (name, *values)

    each = [costs[form] for form in FORMS]
    rows = [
        row("", FORMS),
        row("start to first answered publish", (spread(cost.start, "s", 2) for cost in each)),
        row("publish, median", (_call_spread(cost.publish, statistics.median) for cost in each)),
        row("publish, 99 of 100 at most", (_call_spread(cost.publish, _p99) for cost in each)),
        row("get messages, median", (_call_spread(cost.read, statistics.median) for cost in each)),
        row("get messages, 99 of 100 at most", (_call_spread(cost.read, _p99) for cost in each)),
        row("resident memory after the calls", (spread(cost.memory, "MiB", 0) for cost in each)),
        row("processor time a minute at rest", (spread(cost.idle, "s", 2) for cost in each)),
    ]
    repeats, rests = len(costs[BARE].start), len(costs[BARE].idle)
    return (
        "### What it costs while nothing changes\n\n"
        f"{repeats} starts of each, {len(costs[BARE].publish[0])} calls of each tool after each start; "
        f"{rests} times at rest.\n\n" + table(rows)
    )


def _call_spread(repeats: Sequence[Sequence[float]], figure: Callable[[Sequence[float]], float]) -> str:
    return spread([1000 * figure(calls) for calls in repeats], "ms", 1)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _p99(numbers: Sequence[float]) -> float:
    return statistics.quantiles(numbers, n=100, method="inclusive")[-1]
