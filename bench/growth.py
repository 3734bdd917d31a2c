"""What each secret more costs a preview, beside the same resources in a flat program: of a few and of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median

from bench.engine import Took
from bench.measured import Measured
from bench.page import spread, table
from bench.places import Place, place_for
from bench.programs import FLAT, OURS, programs

OF_AWS = 45
"""The most that prod takes: more are refused, for IAM takes no role's policies that name them."""

SIZES: Mapping[str, Sequence[int]] = {"staging": (10, 100, 1000), "prod": (10, OF_AWS)}
"""By stack."""

PREVIEWS = 3
"""Of each program in turn."""

MOST_OF_FLAT = 1.1
"""A preview with MANY secrets or more, as a multiple of the flat program's."""
MANY = OF_AWS

Sizes = Mapping[int, Mapping[str, list[Took]]]
"""By how many secrets more there are, and by program."""


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """Each stack at each size. Raises PartMissingError."""
    texts, broken = [], []
    for stack, sizes in SIZES.items():
        with place_for(stack, folder / stack) as place:
            took = {size: _previews(stack, place, size, say) for size in sizes}
        texts.append(f"### {stack}\n\nOn {place.provider}.\n\n{table(rows(took))}\n\n{growth(took)}")
        broken += broken_promises(stack, took)
    return Measured("\n\n".join(texts), broken)


def _previews(stack: str, place: Place, size: int, say: Callable[[str], None]) -> Mapping[str, list[Took]]:
    """A first one of each is not counted: it compiles, and fills caches."""
    of = programs(stack, place, secrets=size)
    took: dict[str, list[Took]] = {name: [] for name in of}
    for turn in range(PREVIEWS + 1):
        say(f"{stack} with {size:,} secrets more: {turn} of {PREVIEWS}")
        for name, program in of.items():
            found = program.preview()
            took[name] += [found] if turn else []
    return took


def ratio(took: Mapping[str, list[Took]]) -> float:
    """The stack's preview as a multiple of the flat program's: the medians."""
    return median(one.wall for one in took[OURS]) / median(one.wall for one in took[FLAT])


def broken_promises(stack: str, took: Sizes) -> list[str]:
    return [
        f"a preview of {stack} with {size:,} secrets takes {found:.2f} times the flat one's, more than {MOST_OF_FLAT}"
        for size, of in took.items()
        if size >= MANY and (found := ratio(of)) > MOST_OF_FLAT
    ]


def rows(took: Sizes) -> Sequence[Sequence[str]]:
    head = ("secrets more", "the stack", "flat", "ratio", "processor time", "of flat", "program's memory", "of flat")
    lines: list[Sequence[str]] = [head]
    for size, of in took.items():
        ours, flat = of[OURS], of[FLAT]
        figures = ("wall", "s", 2), ("processor", "s", 2), ("memory", "MiB", 0)
        walls, processors, memories = (
            [spread([getattr(one, figure) for one in of], unit, digits) for of in (ours, flat)]
            for figure, unit, digits in figures
        )
        lines.append((f"{size:,}", *walls, f"{ratio(of):.2f}", *processors, *memories))
    return lines


def growth(took: Sizes) -> str:
    """What one secret more costs, between each size and the next."""
    told = []
    for fewer, more in pairwise(took):
        costs = []
        for program in (OURS, FLAT):
            of_more, of_fewer = took[more][program], took[fewer][program]
            wall, memory = (
                (median(map(figure, of_more)) - median(map(figure, of_fewer))) / (more - fewer)
                for figure in (_wall, _memory)
            )
            costs.append(f"{1000 * wall:.1f} ms and {1024 * memory:.0f} KiB ({program})")
        told.append(f"from {fewer:,} to {more:,} {' or '.join(costs)}")
    return f"One secret more costs: {'; '.join(told)}."


def _wall(of: Took) -> float:
    return of.wall


def _memory(of: Took) -> float:
    return of.memory
