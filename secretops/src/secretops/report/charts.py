"""The report's four charts, with a caption each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from secretops.operations.report import Report
from secretops.report.drawing import Point, at, axis, bars, draw, points, rule

# The most rows of a chart; its table has all.
MOST_ROWS = 25

# The longest bar, as a share of the time, so that a very late secret does not shorten the others.
FULL_SCALE = 1.5

# Later dates are drawn at the edge.
HORIZON = timedelta(days=400)

PUBLISHED, FAILED = "published", "failed"

_READ = {"undeclared": "var(--alarm)", "declared": "var(--calm)", "got no value": "var(--page)"}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart; `svgs` are its drawings by shape."""

    heading: str
    caption: str
    svgs: Mapping[str, Markup]


def charts(report: Report) -> dict[str, Chart]:
    """Return section -> chart, for those with data."""
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
    rows = [(one.name, f"{one.age_days:.0f} of {max(life / timedelta(days=1), 0):.0f} days") for one, _, life in shown]
    values = [
        {"row": row, "kind": "late" if share >= 1 else "in time", "length": min(share, FULL_SCALE)}
        for row, (_, share, _) in enumerate(shown)
    ]
    shares = axis(format=".0%", values=[0, 0.5, 1, 1.5])
    colors = {"in time": "var(--calm)", "late": "var(--alarm)"}
    drawn = bars(values, colors, scale={"domain": [0, FULL_SCALE]}, axis=shares)
    return Chart(
        heading="Age against policy",
        caption="How much of its time each secret has used; at 100% the next value is due. "
        f"Over their time: {late or 'none'} of {len(used)}.{_of(shown, used)}",
        svgs=draw(rows, [drawn, rule(1)]),
    )


def _ends(report: Report) -> Chart | None:
    due, ends = "next value due", "ends by itself"
    coming = report.coming
    shown = coming[:MOST_ROWS]
    if not shown:
        return None
    edge = report.made + HORIZON
    rows = [(one.name, f"{'due' if one.due == one.first else 'ends'} {one.first:%Y-%m-%d}") for one in shown]
    dated = [(row, kind, time) for row, one in enumerate(shown) for kind, time in ((due, one.due), (ends, one.ends))]
    values = [(row, kind, min(time, edge)) for row, kind, time in dated if time]
    begin = min(report.made, *(time for _, _, time in values))
    end = max(report.made + timedelta(days=30), *(time for _, _, time in values))
    kinds = {
        due: Point("diamond", "var(--calm)", "var(--calm)"),
        ends: Point("triangle-down", "var(--warn)", "var(--warn)"),
    }
    ending = sum(one.ends is not None for one in coming)
    is_cut = any(time and time > edge for _, _, time in dated)
    beyond = f" What comes after {edge:%Y-%m-%d} is drawn at the edge." if is_cut else ""
    return Chart(
        heading="What comes when",
        caption="When the next value of each secret is due, and when what is in use ends by itself, as certificates "
        f"do: {ending or 'none'} of {len(coming):,}. The line is the time of this report.{beyond}{_of(shown, coming)}",
        svgs=draw(
            rows,
            [
                rule(at(report.made)),
                points([{"row": row, "kind": kind, "time": at(time)} for row, kind, time in values], begin, end, kinds),
            ],
        ),
    )


def _steps(report: Report) -> Chart | None:
    told = [entry for entry in report.steps if entry.outcome != "done" or entry.step == "publish"]
    latest = {entry.secret: entry.time for entry in told}
    names = sorted(latest, key=lambda name: (latest[name], name), reverse=True)
    shown = names[:MOST_ROWS]
    if not shown:
        return None
    rows = {name: row for row, name in enumerate(shown)}
    marks = {
        (entry.outcome != "done", rows[entry.secret], entry.time.replace(minute=0, second=0, microsecond=0))
        for entry in told
        if entry.secret in rows
    }  # by the hour, in which a tick fails once
    values = [
        {"row": row, "kind": FAILED if failed else PUBLISHED, "time": at(time)} for failed, row, time in sorted(marks)
    ]
    times = [time for *_, time in marks]
    kinds = {
        PUBLISHED: Point("circle", "var(--calm)", "var(--calm)"),
        FAILED: Point("cross", "var(--alarm)", "var(--alarm)"),
    }
    failed = sum(entry.outcome != "done" for entry in told)
    return Chart(
        heading="What was done",
        caption="When a new value of each secret was published, and when a step failed: "
        f"{failed or 'none'} of the {len(report.steps):,} that are told.{_of(shown, names)}",
        svgs=draw(
            [(name, f"last {latest[name]:%Y-%m-%d}") for name in shown],
            [points(values, min(times), max(report.made, *times), kinds)],
        ),
    )


def _reads(report: Report) -> Chart | None:
    counts: dict[str, dict[str, int]] = {}
    for row in report.reads.view.rows if report.reads.view else ():
        if row.done:  # a change, which the table has
            continue
        kind = "got no value" if not row.given else "declared" if row.declared else "undeclared"
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
    wrong = sum("undeclared" in of_reader for of_reader in counts.values())
    return Chart(
        heading="Who read",
        caption="How often each reader asked for values. Got one without being declared: "
        f"{wrong or 'none'} of {len(readers)}.{_of(shown, readers)}",
        svgs=draw(
            [(name, _told(counts[name])) for name in shown],
            [bars(values, _READ, axis=axis(tickMinStep=1, format=",d"))],
        ),
    )


def _told(of_reader: Mapping[str, int]) -> str:
    every, undeclared = sum(of_reader.values()), of_reader.get("undeclared", 0)
    if undeclared == every:
        return f"{every:,} undeclared"
    return f"{every:,}, {undeclared:,} undeclared" if undeclared else f"{every:,}"


def _of(shown: Sequence[object], every: Sequence[object]) -> str:
    return f" Drawn: the first {len(shown)} of {len(every):,}." if len(shown) < len(every) else ""
