"""A seventh platform on the real engine: two registry lines and two modules of tests/unit, and no other file."""

import sys
from pathlib import Path

import pytest
import yaml

from secretops import registry
from secretops.check import Level
from secretops.manifest import Manifest
from secretops.operations.doctor import checks, doctor
from secretops.operations.status import Standing, status
from tests.real.stack import Stack
from tests.stacks.project import PREFIX, ROOT, new_stack
from tests.unit.test_tick import FIRST_ADMIN, InMemoryBroker, broker

__all__ = ["broker"]

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAM = f"""\
import runpy, sys

sys.path.insert(0, {str(ROOT)!r})
from components.core import registry

line = registry.Registered(module="tests.unit.memory_components", store="memory", server="memory")
registry.PLATFORMS.append(line)
runpy.run_path({str(ROOT / "__main__.py")!r}, run_name="__main__")
"""


def test_seventh_platform_is_deployed_by_the_engine_and_ticks(
    tmp_path: Path, broker: InMemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed = new_stack(tmp_path, port=1)
    deployed.config |= {
        "store": {"kind": "memory", "shelf": "seventh"}, "server": {"kind": "memory"},
        "broker": {"kind": "coreflux", "host": "mqtt.example.com"},
    }  # fmt: skip
    deployed.configure()
    folder = tmp_path / "project"
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PREFIX, "runtime": runtime}))
    (folder / "__main__.py").write_text(PROGRAM)
    policies = ("--policy-pack", str(ROOT / "policies"))
    for command in (("preview", *policies), ("up", "--yes", "--skip-preview"), ("preview", "--expect-no-changes")):
        done = deployed.run(*command, "--cwd", str(folder))
        assert done.returncode == 0, done.stdout
    assert deployed.outputs()["server"] == "memory://dev-test"

    monkeypatch.setitem(registry.PLATFORMS, "memory", registry.Entry(module="tests.unit.memory_platform"))
    stack = Stack(Manifest.model_validate(deployed.outputs()["secretops"]))
    stack.put("broker-admin", FIRST_ADMIN)
    stack.tick()
    assert {row.standing for row in status(stack.session()) if row.name == "mqtt"} == {Standing.VERIFIED}
    assert dict(doctor(checks(stack.session())))["memory"].level is Level.OK
