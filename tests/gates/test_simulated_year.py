"""A tick every minute for a year, many times, with faults drawn from a seed: all invariants must hold.

Engine, tick, put, rotate, status, CA and certificates are the product's. Store, broker and agent are in memory
(tests/gates/year): real ones have the same contracts, and are killed for real in the other gates. The mutants of
tests/mutants/engine.toml show that the judge notices bugs.
"""

from collections import Counter

import pytest

from tests.gates.year.plan import DAY, Blow, Kind, drawn
from tests.gates.year.play import play, played

pytestmark = pytest.mark.real  # it starts nothing, but takes longer than a unit test may

SEEDS, ALL_SEEDS = 60, 300


@pytest.mark.parametrize(
    "seeds", [range(SEEDS), pytest.param(range(SEEDS, ALL_SEEDS), marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_simulated_year_breaks_no_invariant(seeds: range) -> None:
    befell = Counter[str]()
    for seed in seeds:
        year = played(seed)
        assert year.violation is None, year.violation
        befell += year.befell
    assert {*map(str, Kind), *map(str, Blow)} <= befell.keys(), "a fault never happened"


@pytest.mark.slow
def test_simulated_year_is_the_same_when_idle_minutes_are_played() -> None:
    plan = drawn(0, length=2 * DAY, scale=1 / 60)
    every, some = play(plan, every_minute=True), play(plan)
    assert every.history == some.history
    assert every.journal.entries != []
    assert some.ticks < every.ticks / 5
