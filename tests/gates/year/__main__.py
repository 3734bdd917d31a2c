"""`python -m tests.gates.year SEED` plays one year again and prints its history."""

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
