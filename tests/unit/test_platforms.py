"""A platform is one folder in each package, and one entry in the registry. No other code names a platform."""

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core import registry as components
from components.settings.section import PROJECT_FOLDER
from secretops import registry
from secretops.check import Level
from secretops.manifest import Manifest
from secretops.operations.doctor import checks, doctor
from secretops.operations.status import Status, status
from tests.real.stack import Stack
from tests.stacks.project import Entry, new_stack
from tests.unit import memory_platform
from tests.unit.harness import deploy
from tests.unit.stack_file import StackFile
from tests.unit.test_tick import FIRST_ADMIN, InMemoryBroker, broker
from tools.pages import PAGES

__all__ = ["broker"]

FOLDERS = {*registry.PLATFORMS}
KINDS = {*components.kinds("store"), *components.kinds("server"), *components.kinds("issuer")} - {"local"}
# A type of a resource begins with one of these.
PACKAGES = {f"{each.sdk.removeprefix('pulumi_').replace('_', '-')}:" for each in components.PLATFORMS if each.sdk}
# The registries, and the output of `python -m tools.pages` from the models of all platforms.
NAMES_THEM = {"core/registry.py", "registry.py", "arguments.py"}


def names_of_platforms(path: Path) -> Iterator[str]:
    """Yield each import of a platform, each platform's kind in a text, and each type of its resources."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=module, names=names, level=level):
                library = not level and (module or "").startswith("dotenv")
                parts = [*(module or "").split("."), *(name.name for name in names)]
                yield from () if library else (FOLDERS | {"platforms"}).intersection(parts)
            case ast.Import(names=names):
                yield from (name.name for name in names if "platforms" in name.name.split("."))
            case ast.Constant(value=str(text)) if text in KINDS or text.startswith(tuple(PACKAGES)):
                yield text


@pytest.mark.parametrize("package", ["components", "policies", "secretops/src/secretops"])
def test_no_module_but_the_registry_names_a_platform(package: str) -> None:
    root = PROJECT_FOLDER / package
    modules = [path.relative_to(root) for path in root.rglob("*.py")]
    outside = [path for path in modules if path.parts[0] not in {*FOLDERS, "platforms"} and str(path) not in NAMES_THEM]
    found = {str(path): names for path in outside if (names := [*names_of_platforms(root / path)])}
    assert len(outside) > 15 and found == {}


@pytest.fixture
def seventh(monkeypatch: pytest.MonkeyPatch) -> None:
    line = components.Registered(module="tests.unit.memory_components", store="memory", server="memory")
    monkeypatch.setattr(components, "PLATFORMS", [*components.PLATFORMS, line])
    monkeypatch.setitem(registry.PLATFORMS, "memory", registry.Entry(module=memory_platform.__name__))
    monkeypatch.setattr(memory_platform, "MEMORIES", {})


@pytest.mark.usefixtures("seventh")
def test_seventh_platform_is_on_the_pages() -> None:
    assert "| memory | – | – | – | – | – | MountedFiles |\n" in PAGES["docs/stores.md"]()
    assert "| memory | encryption at rest | Nothing is written to a disk. |\n" in PAGES["docs/stores.md"]()
    assert "### store, kind `memory`\n" in PAGES["docs/settings.md"]()
    assert 'kind: Literal["memory"]' in PAGES["components/arguments.py"]()
    assert '"memory": MemoryArgs' in PAGES["package/plugin/sections.py"]()


SECTIONS: dict[str, Entry] = {
    "store": {"kind": "memory", "key": "it"}, "server": {"kind": "memory"},
    "broker": {"kind": "coreflux", "host": "mqtt.example.com"},
}  # fmt: skip
PROGRAM = f"""
import runpy, sys; sys.path.insert(0, {str(PROJECT_FOLDER)!r})
from components.core.registry import PLATFORMS, Registered
PLATFORMS.append(Registered(module="tests.unit.memory_components", store="memory", server="memory"))
runpy.run_path({str(PROJECT_FOLDER / "__main__.py")!r})
"""


def declared(_folder: Path) -> Any:
    return deploy(StackFile.read(yaml.safe_dump({"config": SECTIONS})), "dev").exports


def by_the_engine(folder: Path) -> Any:
    stack = new_stack(folder, port=1)
    stack.config = dict(SECTIONS)
    stack.configure()
    judged = ("preview", "--policy-pack", str(PROJECT_FOLDER / "policies"))
    for command in (judged, ("up", "--yes", "--skip-preview"), ("preview", "--expect-no-changes")):
        done = stack.run(*command, *stack.use(PROGRAM))
        assert done.returncode == 0, done.stdout
    return stack.outputs()


@pytest.mark.usefixtures("seventh")
@pytest.mark.parametrize(
    "deployed", [declared, pytest.param(by_the_engine, marks=[pytest.mark.real, pytest.mark.slow])]
)
def test_seventh_platform_is_deployed_rotates_and_is_in_status_and_doctor(
    deployed: Callable[[Path], Any], tmp_path: Path, broker: InMemoryBroker
) -> None:
    outputs = deployed(tmp_path)
    assert outputs["references"]["source"] == "memory:it"
    stack = Stack(Manifest.parse(json.dumps(outputs["secretops"]), "it"))
    stack.put("broker-admin", FIRST_ADMIN)
    stack.tick()
    before = stack.session().store.versions("mqtt").current
    stack.clock.skip(91 * 24 * 3600)
    stack.tick()
    session = stack.session()
    after = session.store.versions("mqtt").current
    assert before and after and before.id != after.id and after.user in broker.passwords
    assert {row.status for row in status(session) if row.name == "mqtt"} == {Status.VERIFIED}
    examined = dict(doctor(checks(session)))
    assert examined["memory"].level is Level.OK and examined["secret mqtt"].level is Level.OK
