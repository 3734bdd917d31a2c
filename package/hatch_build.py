"""What the wheel holds: the clone's program as the package coreflux_mcp_secrets, and secretops beside it.

In the clone the program's packages are called components, settings and tools, as the folders are: names that other
programs have, too. Here each import of them is written anew. secretops is not asked of an index: the one that PyPI has
under this name is somebody else's.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface
from packaging.requirements import Requirement

CLONE = Path(__file__).resolve().parents[1]

_EXACT = re.compile(r"^(pulumi\S*)==((\d+)\.\S+)$")
"""The clone's SDKs, which go with its engine. Another program has its own, of the same major version."""


class Metadata(MetadataHookInterface):
    """What pip installs along: what both pyproject.toml of the clone say, what secretops needs in secretops' place."""

    def update(self, metadata: dict[str, Any]) -> None:
        program = _project(CLONE)
        always = [*_spelt_out(program["dependencies"])]
        metadata["dependencies"] = always
        metadata["optional-dependencies"] = {
            extra: [one for one in _spelt_out(given) if one not in always]
            for extra, given in program["optional-dependencies"].items()
        }


class Build(BuildHookInterface[Any]):
    """Lays the modules down under their names in the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "sdist":
            raise ValueError("an sdist has no clone to build of: build the wheel alone (--wheel), from the clone")
        if version == "editable":
            raise ValueError("an editable install would have the clone's names: work in the clone itself (make setup)")
        sys.path.insert(0, str(CLONE))
        from tools.lambda_package import locked
        from tools.wheel_names import NAME, TOOLS, renamed

        self._folder = tempfile.TemporaryDirectory()
        program = Path(self._folder.name) / NAME
        shutil.copytree(CLONE / "components", program, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
        for init in (CLONE / "components").glob("*/__init__.py"):
            shutil.copy(init, program / init.parent.name)
        shutil.copy(CLONE / "components/settings/settings.py", program)
        (program / "tools").mkdir()
        for tool in TOOLS:
            shutil.copy(CLONE / "tools" / tool, program / "tools")
        for module in program.rglob("*.py"):
            module.write_text(renamed(module.read_text()))
        (program / "uv.lock").write_text(locked())
        build_data["force_include"] |= {str(program): NAME, str(CLONE / "secretops/src/secretops"): "secretops"}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        self._folder.cleanup()


def _spelt_out(requirements: list[str]) -> Iterator[str]:
    secretops = _project(CLONE / "secretops")
    for text in requirements:
        asked = Requirement(text)
        if asked.name == secretops["name"]:
            yield from secretops["dependencies"]
            for extra in sorted(asked.extras):
                yield from secretops["optional-dependencies"][extra]
        else:
            yield _EXACT.sub(lambda pin: f"{pin[1]}>={pin[2]},<{int(pin[3]) + 1}", text)


def _project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return project
