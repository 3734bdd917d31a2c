"""The flat programs that `make bench` measures against register what the shipped stacks do, and nothing else."""

import json
from dataclasses import dataclass
from typing import Any
from unittest import mock

import pytest

from bench.flat import COMPONENT, flat_program
from bench.places import Place
from bench.programs import STACKS, stack_file
from tests.unit.aws_stack import a_kubeconfig, a_package
from tests.unit.harness import Deployed, Registered, deploy
from tests.unit.stack_file import StackFile

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")


@dataclass(frozen=True)
class Both:
    """What a stack registers, and what its flat program does, each as `up` (False) and as `preview` (True)."""

    stack: dict[bool, Deployed]
    flat: dict[bool, Deployed]


@pytest.fixture(
    scope="module", params=["dev", *(pytest.param(one, marks=pytest.mark.slow) for one in STACKS if one != "dev")]
)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    stack = request.param
    folder = tmp_path_factory.mktemp("flat")
    file = StackFile.read(stack_file(stack, Place(folder), 5))
    with a_package(), a_kubeconfig():
        ours = {preview: deploy(file, stack, preview=preview) for preview in (False, True)}
    (folder / "__main__.py").write_text(flat_program(ours[False], ours[True]))
    with mock.patch("tests.unit.harness.PROJECT_FOLDER", folder):
        return Both(ours, {preview: deploy(file, stack, preview=preview) for preview in (False, True)})


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_it_registers_the_same_resources_and_exports_the_same(both: Both, preview: bool) -> None:
    wanted = {name: told(one) for name, one in custom(both.stack[preview]).items()}
    assert {name: told(one) for name, one in both.flat[preview].resources.items()} == wanted
    assert opened(both.flat[preview].exports) == opened(both.stack[preview].exports)


def test_nothing_is_made_earlier_than_in_the_stack(both: Both) -> None:
    """Whatever a resource waits for in the stack, by itself or because a component that it lies in does."""
    kept = custom(both.stack[False])
    for name in kept:
        assert waits_for(name, both.stack[False]) & kept.keys() <= waits_for(name, both.flat[False]), name


def custom(deployed: Deployed) -> dict[str, Registered]:
    return {name: one for name, one in deployed.resources.items() if not one.type.startswith(COMPONENT)}


def told(one: Registered) -> tuple[object, ...]:
    inputs = {key: opened(value) for key, value in one.inputs.items() if key != "__provider"}
    return one.type, inputs, one.provider, one.protected, one.kept, one.ignored, one.secret_inputs


def opened(value: Any) -> Any:
    match value:
        case str() if value.startswith(("{", "[")):
            try:
                return opened(json.loads(value))
            except ValueError:
                return value
        case dict():
            return {key: opened(one) for key, one in value.items()}
        case list():
            return [opened(one) for one in value]
    return value


def waits_for(name: str, deployed: Deployed) -> set[str]:
    found: set[str] = set()
    left = [name]
    while left:
        one = deployed.resources[left.pop()]
        new = (one.depends_on | ({one.parent} if one.parent else set())) - found
        found |= new
        left += new
    return found
