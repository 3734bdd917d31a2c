"""The flat programs of `make bench` register exactly what the shipped stacks do."""

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bench.flat_program import COMPONENT, flat_program
from bench.previews import STACKS, Place, stack_file
from tests.unit.aws_stack import a_kubeconfig, a_package
from tests.unit.harness import Deployed, Registered, deploy
from tests.unit.stack_file import StackFile

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")


@pytest.mark.parametrize("stack", ["dev", *(pytest.param(one, marks=pytest.mark.slow) for one in STACKS[1:])])
def test_flat_program_registers_and_exports_the_same_as_the_stack(stack: str, tmp_path: Path) -> None:
    file = StackFile.read(stack_file(stack, Place(tmp_path), 5))
    with a_package(), a_kubeconfig():
        ours = deploy(file, stack)
    (tmp_path / "__main__.py").write_text(flat_program(ours))
    with mock.patch("tests.unit.harness.PROJECT_FOLDER", tmp_path):
        flat = deploy(file, stack)
    assert registered(flat) == registered(ours)
    assert parsed(flat.exports) == parsed(ours.exports)


def registered(deployed: Deployed) -> dict[str, tuple[object, ...]]:
    custom = {name: one for name, one in deployed.resources.items() if not one.type.startswith(COMPONENT)}
    return {name: (*facts(one), one.depends_on & custom.keys()) for name, one in custom.items()}


def facts(one: Registered) -> tuple[object, ...]:
    inputs = {key: parsed(value) for key, value in one.inputs.items() if key != "__provider"}
    return one.type, inputs, one.provider, one.protected, one.retained, one.ignored, one.secret_inputs


def parsed(value: Any) -> Any:
    match value:
        case str() if value.startswith(("{", "[")):
            try:
                return parsed(json.loads(value))
            except ValueError:
                return value
        case dict():
            return {key: parsed(one) for key, one in value.items()}
        case list():
            return [parsed(one) for one in value]
    return value
