"""Each recorded mutant has an address that matches one place, and tests that exist. `make mutants` applies them."""

import ast
from collections import Counter
from functools import cache

import pytest

from tests.mutants.record import ROOT, Mutant, find_place, read_mutants

MUTANTS = read_mutants()
AT_LEAST = 60


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_there_are_enough_mutants_and_no_two_are_the_same() -> None:
    changes = Counter((find_place(mutant), mutant.becomes.strip()) for mutant in MUTANTS)
    assert len(changes) >= AT_LEAST
    assert [change for change, count in changes.items() if count > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_mutant_has_one_address_and_tests_that_exist(mutant: Mutant) -> None:
    place = find_place(mutant)
    changed = place.mutated(place.path.read_bytes(), mutant.becomes)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(place.path.read_bytes()))
    assert mutant.killed_by
    for test in mutant.killed_by:
        file, _, name = test.partition("::")
        assert name.partition("[")[0].rpartition("::")[2] in names_in(file), test
