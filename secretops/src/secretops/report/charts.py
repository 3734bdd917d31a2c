from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from secretops.operations.report import DAY, Report
from secretops.report.drawing import at, axis, bars, draw, points, rule

# Maximum rows of a chart. The table next to it has all.
MOST_ROWS = 25

# Longest bar, as a share of the cadence, so that a very late secret does not shorten the other bars.
FULL_SCALE = 1.5

# Dates later than this are drawn at the edge.
HORIZON = 400 * DAY

_READ = {"undeclared": "var(--alarm)", "declared": "var(--calm)", "got no value": "var(--page)"}


@dataclass(frozen=True, kw_only=True)
class Chart:
    heading: str
    caption: str
    svgs: Mapping[str, Markup]


def charts(report: Report) -> dict[str, Chart]:
    drawn = {"ages": _ages(report), "ends": _ends(report), "steps": _steps(report), "reads": _reads(report)}
    return {name: chart for name, chart in drawn.items() if chart}


def _ages(report: Report) -> Chart | None:
    used = [
        (one, one.used, one.due - one.since) for one in report.secrets if one.used is not None and one.due and one.since
    ]
    shown = used[:MOST_ROWS]
    if not shown:
        return None
    late = sum(share >= 1 for _, share, _ in used)
    values = [
        {"row": row, "kind": "late" if share >= 1 else "in time", "length": min(share, FULL_SCALE)}
        for row, (_, share, _) in enumerate(shown)
    ]
    shares = axis(format=".0%", values=[0, 0.5, 1, 1.5])
    colors = {"in time": "var(--calm)", "late": "var(--alarm)"}
    return Chart(
        heading="Age against policy",
        caption="The share of its cadence that each secret has used. At 100% the next value is due. "
        f"Overdue: {late or 'none'} of {len(used)}.{_cut(shown, used)}",
        svgs=draw(
            [(one.name, f"{one.age_days:.0f} of {max(life / DAY, 0):.0f} days") for one, _, life in shown],
            [bars(values, colors, scale={"domain": [0, FULL_SCALE]}, axis=shares), rule(1)],
        ),
    )


def _ends(report: Report) -> Chart | None:
    due, ends = "next value due", "expires"
    coming = report.coming
    shown = coming[:MOST_ROWS]
    if not shown:
        return None
    edge = report.made + HORIZON
    dated = [(row, kind, time) for row, one in enumerate(shown) for kind, time in ((due, one.due), (ends, one.ends))]
    values = [(row, kind, min(time, edge)) for row, kind, time in dated if time]
    begin = min(report.made, *(time for _, _, time in values))
    end = max(report.made + 30 * DAY, *(time for _, _, time in values))
    kinds = {due: ("diamond", "var(--calm)"), ends: ("triangle-down", "var(--warn)")}
    expiring = sum(one.ends is not None for one in coming)
    is_cut = any(time and time > edge for _, _, time in dated)
    beyond = f" Dates after {edge:%Y-%m-%d} are drawn at the edge." if is_cut else ""
    return Chart(
        heading="What is due next",
        caption="When the next value of each secret is due, and when a certificate expires: "
        f"{expiring or 'none'} of {len(coming):,}. The line is the time of this report.{beyond}{_cut(shown, coming)}",
        svgs=draw(
            [(one.name, f"{'due' if one.due == one.first else 'expires'} {one.first:%Y-%m-%d}") for one in shown],
            [rule(at(report.made)), points(values, begin, end, kinds)],
        ),
    )


def _steps(report: Report) -> Chart | None:
    entries = [entry for entry in report.steps if entry.outcome != "done" or entry.step == "publish"]
    latest = {entry.secret: entry.time for entry in entries}
    names = sorted(latest, key=lambda name: (latest[name], name), reverse=True)
    shown = names[:MOST_ROWS]
    if not shown:
        return None
    rows = {name: row for row, name in enumerate(shown)}
    marks = {
        (entry.outcome != "done", rows[entry.secret], entry.time.replace(minute=0, second=0, microsecond=0))
        for entry in entries
        if entry.secret in rows
    }  # one mark per hour, because an hourly tick can fail once
    values = [(row, "failed" if failed else "published", time) for failed, row, time in sorted(marks)]
    times = [time for *_, time in marks]
    kinds = {"published": ("circle", "var(--calm)"), "failed": ("cross", "var(--alarm)")}
    failures = sum(entry.outcome != "done" for entry in entries)
    return Chart(
        heading="What was done",
        caption="When a new value of each secret was published, and when a step failed: "
        f"{failures or 'none'} of {len(report.steps):,} steps.{_cut(shown, names)}",
        svgs=draw(
            [(name, f"last {latest[name]:%Y-%m-%d}") for name in shown],
            [points(values, min(times), max(report.made, *times), kinds)],
        ),
    )


def _reads(report: Report) -> Chart | None:
    counts: dict[str, dict[str, int]] = {}
    for row in report.reads.view.rows if report.reads.view else ():
        if row.changed:  # changes are only in the table
            continue
        kind = "got no value" if not row.value_returned else "declared" if row.declared else "undeclared"
        of_reader = counts.setdefault(row.reader, {})
        of_reader[kind] = of_reader.get(kind, 0) + row.count
    readers = sorted(counts, key=lambda name: (-counts[name].get("undeclared", 0), -sum(counts[name].values()), name))
    shown = readers[:MOST_ROWS]
    if not shown:
        return None
    values = [
        {"row": row, "kind": kind, "length": count}
        for row, name in enumerate(shown)
        for kind, count in counts[name].items()
    ]
    undeclared = sum("undeclared" in of_reader for of_reader in counts.values())
    return Chart(
        heading="Who read",
        caption="How often each reader requested values. Undeclared readers that got one: "
        f"{undeclared or 'none'} of {len(readers)}.{_cut(shown, readers)}",
        svgs=draw(
            [(name, _figure(counts[name])) for name in shown],
            [bars(values, _READ, axis=axis(tickMinStep=1, format=",d"))],
        ),
    )


def _figure(of_reader: Mapping[str, int]) -> str:
    total, undeclared = sum(of_reader.values()), of_reader.get("undeclared", 0)
    if undeclared == total:
        return f"{total:,} undeclared"
    return f"{total:,}, {undeclared:,} undeclared" if undeclared else f"{total:,}"


def _cut(shown: Sequence[object], every: Sequence[object]) -> str:
    return f" Drawn: the first {len(shown)} of {len(every):,}." if len(shown) < len(every) else ""
