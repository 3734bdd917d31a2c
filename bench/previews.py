"""A preview and an `up` of each default stack, beside the same resources in a flat program, and beside one resource."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.engine import Program, Took
from bench.measured import Measured
from bench.page import spread, table
from bench.places import Place, place_for
from bench.programs import EMPTY, FLAT, ONE, OURS, STACKS, programs

PREVIEWS, UPS = 5, 2
"""Of each program in turn, so that what else the machine does hits all alike."""

MOST_OF_FLAT = 1.2
"""A preview of a default stack, as a multiple of the flat program's."""

MOST_OF_EMPTY = 2.5
"""A preview of dev, as a multiple of the program's that declares nothing."""


@dataclass
class Runs:
    """What a program took each time."""

    preview: list[Took] = field(default_factory=list)
    up: list[Took] = field(default_factory=list)


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """Each stack. Raises PartMissingError."""
    texts, broken = [], []
    for stack in STACKS:
        with place_for(stack, folder / stack) as place:
            runs = measure_stack(stack, place, say)
        texts.append(f"### {stack}\n\nOn {place.provider}.\n\n{table(rows(runs))}")
        broken += broken_promises(stack, runs)
    return Measured("\n\n".join(texts), broken)


def measure_stack(
    stack: str, place: Place, say: Callable[[str], None], previews: int = PREVIEWS, ups: int = UPS
) -> Mapping[str, Runs]:
    """Each program of a stack, in turn. A first preview of each is not counted: it compiles, and fills caches."""
    runs: Mapping[str, Runs] = defaultdict(Runs)
    of = programs(stack, place)
    if stack != "dev":
        del of[EMPTY]
    for turn in range(previews + 1):
        say(f"{stack}: previews, {turn} of {previews}")
        for name, program in of.items():
            took = program.preview()
            runs[name].preview += [took] if turn else []
    for turn in range(ups):
        say(f"{stack}: ups, {turn + 1} of {ups}")
        for name in (OURS, FLAT, ONE):
            runs[name].up.append(_up(of[name], place))
    return runs


def _up(program: Program, place: Place) -> Took:
    """From nothing."""
    try:
        return program.up()
    finally:
        place.undo()
        program.begin()


def ratio(runs: Mapping[str, Runs], beside: str) -> float:
    """The stack's preview as a multiple of another program's: the medians."""
    return median(_walls(runs[OURS].preview)) / median(_walls(runs[beside].preview))


def broken_promises(stack: str, runs: Mapping[str, Runs]) -> list[str]:
    limits = {FLAT: MOST_OF_FLAT, EMPTY: MOST_OF_EMPTY}
    return [
        f"a preview of {stack} takes {found:.2f} times the {beside} program's, more than {most}"
        for beside, most in limits.items()
        if beside in runs and (found := ratio(runs, beside)) > most
    ]


def rows(runs: Mapping[str, Runs]) -> Sequence[Sequence[str]]:
    head = ("program", "preview", "ratio", "processor time", "its memory", "up", "ratio", "processor time")
    ours = runs[OURS]
    lines = [head]
    for name, of in runs.items():
        itself = name == OURS
        up = ("–", "–", "–")
        if of.up:
            multiple = "" if itself else f"{median(_walls(ours.up)) / median(_walls(of.up)):.2f}"
            up = (spread(_walls(of.up), "s", 2), multiple, spread([one.processor for one in of.up], "s", 2))
        lines.append(
            (
                name,
                spread(_walls(of.preview), "s", 2),
                "" if itself else f"{ratio(runs, name):.2f}",
                spread([one.processor for one in of.preview], "s", 2),
                spread([one.memory for one in of.preview], "MiB", 0),
                *up,
            )
        )
    return lines


def _walls(runs: Sequence[Took]) -> list[float]:
    return [one.wall for one in runs]
