"""Recorded mutants: plausible bugs, each with the tests that notice it. `python -m tests.mutants`."""
