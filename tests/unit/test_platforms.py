"""A platform is one entry of the registry and one folder: nothing else of secretops names one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops import registry
from secretops.check import Level
from secretops.manifest import Manifest, ManifestError
from secretops.operations.doctor import checks, doctor
from secretops.operations.status import Status, status
from tests.real.stack import Stack, make_stack
from tests.unit.test_tick import FIRST_ADMIN, NOWHERE, InMemoryBroker, broker

__all__ = ["broker"]

PACKAGE = Path(registry.__file__).parent


def names_of_platforms(path: Path) -> Iterator[str]:
    """Each import of a platform, and each text that is a platform's kind, in a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            text = ast.unparse(node)
            yield from [text] if "secretops.platforms" in text.replace(" import ", ".") else []
        elif isinstance(node, ast.Constant) and node.value in registry.PLATFORMS:
            yield str(node.value)


def test_no_module_but_the_registry_names_a_platform() -> None:
    modules = [path for path in PACKAGE.rglob("*.py") if "platforms" not in path.parts and path.name != "registry.py"]
    found = {str(path.relative_to(PACKAGE)): names for path in modules if (names := [*names_of_platforms(path)])}
    assert len(modules) > 100 and found == {}


def test_seventh_platform_takes_an_entry_and_a_module(
    tmp_path: Path, broker: InMemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_folder = make_stack(tmp_path / "store", NOWHERE, users=("user-a", "user-b"), admins=("admin-a", "admin-b"))
    store = {"kind": "memory", "shelf": "seventh"}
    document = of_a_folder.manifest.model_copy(update={"store": store}).model_dump_json(warnings=False)
    with pytest.raises(ManifestError, match=r"one of dotenv, kubernetes, aws, azure, vault, swarm"):
        Manifest.parse(document, "it")

    monkeypatch.setitem(registry.PLATFORMS, "memory", registry.Entry(module="tests.unit.memory_platform"))
    stack = Stack(Manifest.parse(document, "it"), of_a_folder.clock)
    assert stack.manifest.model_dump_json() == document
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
