"""docs/performance.md: what lies between its two marks is written anew, the rest is a person's."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bench.hot_swap import QUIET, Run
from bench.overhead import BARE, FORMS, Cost

BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"


def write(page: Path, text: str) -> None:
    """Put `text` between the marks of `page`. Raises ValueError when it hasn't both."""
    whole = page.read_text()
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no line {BEGIN} with a line {END} after it")
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")


def render(machine: str, launcher: Run, bare: Run, costs: dict[str, Cost]) -> str:
    """All the figures, as Markdown."""
    return "\n\n".join([machine, _changes(launcher, bare), _effects(launcher, bare), _costs(costs)])


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
        ("a swap: connect, subscribe, change over", _spread(launcher.swaps, "ms", 0), "–"),
    ]
    return "### Users who call through every change\n\n" + _table(rows)


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
                _spread([effect.gap for effect in effects], "s", 2),
                f"{sum(effect.failed for effect in effects):,}",
            )
        ]
        rows.append((name, str(len(found[0])), *cells))
    changed = [[effect.gap for effect in run.effects if effect.change != QUIET] for run in (launcher, bare)]
    rows.append(("all changes", str(len(changed[0])), _spread(changed[0], "s", 2), "", _spread(changed[1], "s", 2), ""))
    return "### The longest that a user was without a good answer\n\n" + _table(rows)


def _costs(costs: dict[str, Cost]) -> str:
    def row(name: str, values: Iterable[str]) -> tuple[str, ...]:
        return (name, *values)

    each = [costs[form] for form in FORMS]
    rows = [
        row("", FORMS),
        row("start to first answered publish", (_spread(cost.start, "s", 2) for cost in each)),
        row("publish, median", (_call_spread(cost.publish, statistics.median) for cost in each)),
        row("publish, 99 of 100 at most", (_call_spread(cost.publish, _p99) for cost in each)),
        row("get messages, median", (_call_spread(cost.read, statistics.median) for cost in each)),
        row("get messages, 99 of 100 at most", (_call_spread(cost.read, _p99) for cost in each)),
        row("resident memory after the calls", (_spread(cost.memory, "MiB", 0) for cost in each)),
        row("processor time a minute at rest", (_spread(cost.idle, "s", 2) for cost in each)),
    ]
    repeats, rests = len(costs[BARE].start), len(costs[BARE].idle)
    return (
        "### What it costs while nothing changes\n\n"
        f"{repeats} starts of each, {len(costs[BARE].publish[0])} calls of each tool after each start; "
        f"{rests} times at rest.\n\n" + _table(rows)
    )


def _call_spread(repeats: Sequence[Sequence[float]], figure: Callable[[Sequence[float]], float]) -> str:
    return _spread([1000 * figure(calls) for calls in repeats], "ms", 1)


def _spread(numbers: Sequence[float], unit: str, digits: int) -> str:
    """Median and, where there are several, the least and the most."""
    if not numbers:
        return "–"
    middle = f"{statistics.median(numbers):.{digits}f} {unit}"
    return middle if len(numbers) == 1 else f"{middle} ({min(numbers):.{digits}f}–{max(numbers):.{digits}f})"


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _p99(numbers: Sequence[float]) -> float:
    return statistics.quantiles(numbers, n=100, method="inclusive")[-1]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
