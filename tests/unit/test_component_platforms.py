"""A platform of the program is one registry line and one folder: nothing else of components/ names one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core import registry
from components.settings.section import PROJECT_FOLDER
from tests.unit.harness import deploy
from tests.unit.stack_file import StackFile
from tools.pages import PAGES

PACKAGE = PROJECT_FOLDER / "components"
FOLDERS = {each.module.split(".")[2] for each in registry.PLATFORMS}
KINDS = {*registry.kinds("store"), *registry.kinds("server"), *registry.kinds("issuer")} - {"local"}
# The registry itself, and what `python -m tools.pages` writes from the models that it lists.
NAMES_THEM = {"core/registry.py", "arguments.py"}


def names_of_platforms(path: Path) -> Iterator[str]:
    """Yield each import of a platform, and each text that is a platform's kind, in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=module, names=names):
                parts = {*(module or "").split("."), *(name.name for name in names)}
                yield from parts & FOLDERS
            case ast.Constant(value=str(text)) if text in KINDS:
                yield text


def test_no_module_but_the_registry_names_a_platform() -> None:
    modules = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    outside = [path for path in modules if path.parts[0] not in FOLDERS and str(path) not in NAMES_THEM]
    found = {str(path): names for path in outside if (names := [*names_of_platforms(PACKAGE / path)])}
    assert len(outside) > 20 and found == {}


def test_seventh_platform_takes_a_line_and_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.Registered(module="tests.unit.memory_components", store="memory", server="memory")
    monkeypatch.setattr(registry, "PLATFORMS", [*registry.PLATFORMS, entry])
    file = StackFile.read(
        "config: {store: {kind: memory, shelf: it}, server: {kind: memory},"
        " broker: {kind: coreflux, host: mqtt.example.com}}"
    )
    made = deploy(file, "dev")
    assert made.exports["secretops"]["store"] == {"kind": "memory", "shelf": "it"}
    assert made.exports["references"]["source"] == "memory:it"
    assert "| memory | – | – | – | – | – | MountedFiles |\n" in PAGES["docs/stores.md"]()
    assert "| memory | encryption at rest | Nothing is written to a disk. |\n" in PAGES["docs/stores.md"]()
    assert "### store, kind `memory`\n" in PAGES["docs/settings.md"]()
    assert 'kind: Literal["memory"]' in PAGES["components/arguments.py"]()
    assert '"memory": MemoryArgs' in PAGES["package/plugin/sections.py"]()
