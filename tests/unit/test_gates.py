"""The table of the reliability gates: complete, with tests that exist and a reason for each gap."""

import ast
from functools import cache

import pytest

from components.settings.section import PROJECT_FOLDER
from tests.gates.table import GATES, TABLE, files

SHIPPED = {
    str(path.relative_to(PROJECT_FOLDER))
    for folder in (PROJECT_FOLDER, PROJECT_FOLDER / "examples")
    for path in folder.glob("Pulumi.*.yaml")
}


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((PROJECT_FOLDER / file).read_text())
    return frozenset(
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_each_stack_file_that_is_shipped_has_a_cell_for_each_gate() -> None:
    assert set(TABLE) == SHIPPED
    assert all(list(cells) == list(GATES) for cells in TABLE.values())


@pytest.mark.parametrize("stack", TABLE)
def test_each_cell_names_existing_tests_or_a_reason(stack: str) -> None:
    for cell in TABLE[stack].values():
        assert cell.proofs or cell.gap
        assert len(set(cell.proofs)) == len(cell.proofs)
        for proof in cell.proofs:
            file, _, name = proof.partition("::")
            assert name in names_in(file), proof
        assert not cell.gap or len(cell.gap.split()) > 4, "a reason is a sentence"


def test_every_file_of_gates_is_a_proof_or_part_of_one() -> None:
    folder = {str(path.relative_to(PROJECT_FOLDER)) for path in (PROJECT_FOLDER / "tests/gates").glob("test_*.py")}
    assert folder - set(files()) == set()
