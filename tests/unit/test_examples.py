"""Run the tests of the programs in examples/, and check the names that they import."""

import pkgutil
import re
import runpy
import sys
from importlib import import_module
from pathlib import Path

import pytest

from components.core import registry
from components.core.component import Component
from components.settings.section import PROJECT_FOLDER
from tests.unit.harness import _forget

PROGRAMS = PROJECT_FOLDER / "examples/programs"
PLATFORMS = sorted({each.module.split(".")[2] for each in registry.PLATFORMS})
INSIDE = {"StackFunction", "StackFunctionArgs"}  # A part of other components.


@pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("path", sorted(PROGRAMS.glob("test_*.py")), ids=lambda path: path.stem)
def test_example_passes_its_own_test(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "coreflux_mcp_secrets").symlink_to(PROJECT_FOLDER / "components")  # as in the wheel
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(PROGRAMS), *sys.path])
    _forget()
    (test,) = (entry for name, entry in runpy.run_path(str(path)).items() if name.startswith("test_"))
    test()
    _forget()
    assert len(path.read_text().splitlines()) <= 30


def test_page_of_components_shows_parts_of_the_programs() -> None:
    page = (PROJECT_FOLDER / "docs/operations/component.md").read_text()
    _whole_stack, *parts = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    programs = [path.read_text() for path in sorted(PROGRAMS.glob("own_*.py"))]
    assert [[part in program for program in programs].index(True) for part in parts] == [0, 1, 2]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_platforms_package_has_each_component_and_its_arguments(platform: str) -> None:
    package = import_module(f"components.{platform}")
    modules = [import_module(f"{package.__name__}.{one.name}") for one in pkgutil.iter_modules(package.__path__)]
    types = {entry for module in modules for entry in vars(module).values() if isinstance(entry, type)}
    own = {one.__name__ for one in types if issubclass(one, Component) and one.__module__.startswith(package.__name__)}
    assert own and {*own, *(f"{name}Args" for name in own)} - INSIDE <= set(package.__all__)
    assert all(getattr(package, name).__name__ == name for name in package.__all__)
