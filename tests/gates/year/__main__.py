"""Simulate one year again, and print its history: `python -m tests.gates.year SEED`."""

import sys

from tests.gates.year.judge import Violation
from tests.gates.year.plan import drawn
from tests.gates.year.play import play

if __name__ == "__main__":
    try:
        world = play(drawn(int(sys.argv[1])))
    except Violation as found:
        sys.exit(str(found))
    for minute, text in world.history:
        print(f"{world.true_time_at(minute):%m-%d %H:%M} {text}")
