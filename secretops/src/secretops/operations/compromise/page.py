"""An incident for people: one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secretops.operations.compromise.incident import Incident, Moment, Read

LONGEST = 200
"""Characters that are shown of a name or a source that somebody else chose."""


def page(incident: Incident) -> str:
    """What is left to do, what was done, who read it."""
    state = (
        f"ended {incident.ended:%Y-%m-%d %H:%M:%S}" if incident.ended else "not ended: `secretops compromise` goes on"
    )
    good = _plain(
        ", ".join(f"{one.id} ({one.stage}{f', user {one.user}' if one.user else ''})" for one in incident.out)
    )
    parts = [
        f"# Incident: {incident.secret} of {incident.project}/{incident.stack}",
        f"Store {incident.store}. Began {incident.began:%Y-%m-%d %H:%M:%S}, {state}. All times are UTC.",
        f"What was out: {good or 'no version that was still good'}.",
        "## What is left to do",
        "\n".join(f"- {_plain(text)}" for text in incident.to_do) or ("Nothing." if incident.ended else "To be seen."),
        "## What was done",
        _table(("began", "took", "step", "what"), (_done(moment) for moment in incident.moments)),
        f"## Who read and changed it since {incident.since:%Y-%m-%d %H:%M:%S}",
        _reads(incident.reads),
        "This page holds no value, and names people and addresses: keep it as such.",
    ]
    return "\n\n".join(parts) + "\n"


def _done(moment: Moment) -> Sequence[str]:
    took = f"{(moment.ended - moment.began).total_seconds():.1f} s" if moment.ended else "cut short"
    return f"{moment.began:%Y-%m-%d %H:%M:%S}", took, moment.step, moment.told


def _reads(reads: tuple[Read, ...] | None) -> str:
    if reads is None:
        return "Nobody has looked yet."
    if not reads:
        return "No access is on record."
    return _table(
        ("declared", "reader", "place", "operation", "outcome", "times", "first", "last", "from"),
        (
            (
                "yes" if read.declared else "NO",
                read.reader[:LONGEST],
                read.secret,
                read.operation,
                read.outcome,
                str(read.count),
                f"{read.first:%Y-%m-%d %H:%M:%S}",
                f"{read.last:%Y-%m-%d %H:%M:%S}",
                "; ".join(read.sources)[:LONGEST],
            )
            for read in reads
        ),
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """`text` so that whoever chose some of it writes no Markdown, no HTML, no link and no second line."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    for special in "\\|<>[]`*_#&!":
        shown = shown.replace(special, f"\\{special}")
    return shown.replace("://", ":\\//")
