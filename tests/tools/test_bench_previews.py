"""What `make bench` promises of previews, held by processor time on a machine that does other things too.

Processor time of all processes together, the least of some runs in turn: others at work make a run longer, hardly
dearer. By the clock, with its spread, and with many secrets: docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.places import Place, place_for, place_in
from bench.previews import MOST_OF_EMPTY, MOST_OF_FLAT
from bench.programs import EMPTY, FLAT, OURS, STACKS, programs
from tests.real.cluster import Cluster

pytestmark = [pytest.mark.real, pytest.mark.slow]

ROUNDS = 5
"""Counted, of each program, at most: as soon as the cheapest ones keep the promise, it is kept."""


@pytest.fixture(params=STACKS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    if request.param == "staging":
        cluster: Cluster = request.getfixturevalue("cluster")
        yield place_in(cluster, tmp_path)
        return
    with place_for(request.param, tmp_path / request.param) as made:
        yield made


@pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
def test_a_preview_costs_little_more_than_the_same_resources_without_components(
    place: Place, request: pytest.FixtureRequest
) -> None:
    stack = request.node.callspec.params["place"]
    limits = {FLAT: MOST_OF_FLAT, **({EMPTY: MOST_OF_EMPTY} if stack == "dev" else {})}
    of = programs(stack, place)
    costs: dict[str, list[float]] = {name: [] for name in (OURS, *limits)}
    for name in costs:
        of[name].preview()  # it compiles, and fills caches
    over = dict.fromkeys(limits, 0.0)
    for _ in range(ROUNDS):
        for name, found in costs.items():
            took = of[name].preview()
            assert took.memory > 0, "the program's process was seen"
            found.append(took.processor)
        ours, others = min(costs[OURS]), {name: min(costs[name]) for name in limits}
        over = {name: round(ours / other, 2) for name, other in others.items() if ours > limits[name] * other}
        print(f"{stack}: {ours:.2f} s of the processor; {others}")
        if not over:
            break
    assert over == {}
