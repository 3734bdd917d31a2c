"""A tick every minute for a year, a thousand times, with faults drawn from a seed: what has to hold always holds.

Engine, tick, put, rotate, status, CA and certificates are the product's. Store, broker and agent are stand-ins in
memory (tests/gates/year): real ones are held to the same contracts, and are killed for real, in the other gates.
Minutes at which a tick could do nothing are left out, and a test shows that the history is that of every minute.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.gates.year.judge import Violation
from tests.gates.year.mutants import MUTANTS, retired_at_once
from tests.gates.year.plan import DAY, YEAR, Blow, Kind, drawn
from tests.gates.year.play import play, played
from tests.real.stack import DEADLINE

pytestmark = pytest.mark.real

SEEDS = 1000
PROCESSES = 2
MOST_SEEDS = 60
"""Within how many a planted bug is found."""
MOST_SECONDS = 120 * 1.5
"""Of two processors for all seeds, by the calmer half of them: what else a machine does slows the others. It is to be
two minutes, and was 100 s on the machine of docs/performance.md; half more is let pass, which is that of a slower one.
"""
HUNDRED = 100


def test_in_a_thousand_years_of_faults_no_invariant_is_broken() -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        years = list(pool.map(played, range(SEEDS), chunksize=10))
    broken = [year.violation for year in years if year.violation]
    assert broken == [], f"{len(broken)} seeds\n\n{broken[0]}"
    befell = sum((year.befell for year in years), Counter[str]())
    assert {*map(str, Kind), *map(str, Blow)} <= befell.keys(), "each of what may befall did"
    seconds, ticks = sum(year.seconds for year in years), sum(year.ticks for year in years)
    print(f"{SEEDS} years, {ticks} ticks that could do anything, {seconds:.0f} s on {PROCESSES} processors together")
    hundreds = sorted(sum(year.seconds for year in years[at : at + HUNDRED]) for at in range(0, SEEDS, HUNDRED))
    calm = 2 * sum(hundreds[: len(hundreds) // 2])
    assert calm / PROCESSES < MOST_SECONDS, "a thousand are to take two minutes, on two processors"


@pytest.mark.parametrize("seed", range(3))
def test_to_leave_out_the_minutes_at_which_nothing_can_happen_changes_nothing(seed: int) -> None:
    plan = drawn(seed, length=3 * DAY, scale=1 / 60)
    every, some = play(plan, every_minute=True), play(plan)
    assert every.history == some.history
    assert every.journal.entries != []
    assert some.ticks < every.ticks / 5


@pytest.mark.parametrize("planted", MUTANTS, ids=lambda planted: planted.__name__)
def test_a_planted_bug_is_caught(planted: Callable[[], Any]) -> None:
    for seed in range(MOST_SEEDS):
        try:
            with planted():
                play(drawn(seed, length=YEAR // 6, scale=1 / 6))
        except Violation as found:
            print(found)
            return
    raise AssertionError(f"not within {MOST_SEEDS} seeds")


def test_a_broken_invariant_is_told_with_its_seed_and_the_same_seed_breaks_it_again() -> None:
    told = []
    for _ in range(2):
        with retired_at_once(), pytest.raises(Violation) as found:
            play(drawn(0))
        told.append(str(found.value))
    assert told[0] == told[1]
    assert told[0].startswith("seed 0, ") and "-> python -m tests.gates.year 0 " in told[0]
    assert "retire user-" in told[0], "the last lines of its history"


def test_the_command_that_plays_a_seed_again_prints_its_history() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.gates.year", "1"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    assert len(ran.stdout.splitlines()) == len(play(drawn(1)).history)
