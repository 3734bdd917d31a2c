"""Remedies for missing packages, and the wheel's requirements. On PyPI, the name `secretops` is another project's."""

import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest

from secretops import registry

ROOT = Path(__file__).resolve().parents[2]


def test_remedy_in_the_clone_is_its_own_command() -> None:
    assert "make setup" in registry.install_command("aws")


@pytest.mark.parametrize(("extra", "named"), [("aws", "aws"), ("report", "cli")])
def test_remedy_in_another_program_names_an_extra_of_the_wheel(extra: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "coreflux_mcp_secrets").mkdir()
    (tmp_path / "secretops").mkdir()
    there = shutil.copy(Path(registry.__file__), tmp_path / "secretops")
    command = runpy.run_path(str(there))["install_command"](extra)
    assert command.startswith(f'pip install "coreflux-mcp-secrets[{named}] @ git+')


def test_wheel_requires_what_the_clone_requires_with_sdks_of_one_major_version() -> None:
    files = (ROOT / folder / "pyproject.toml" for folder in (".", "secretops", "package"))
    clone, secretops, wheel = (tomllib.loads(file.read_text())["project"] for file in files)
    ours = secretops["optional-dependencies"]
    expected = {extra: needs + ours[extra] for extra, needs in clone["optional-dependencies"].items()}
    expected["cli"] = ours["cli"] + ours["report"] + ours["server"]
    expected[""] = clone["dependencies"] + secretops["dependencies"]
    for extra, needs in {"": wheel["dependencies"], **wheel["optional-dependencies"]}.items():
        others = {need for need in expected.pop(extra) if not need.startswith(secretops["name"])}
        pinned = r"^(pulumi\S*)==((\d+)\.\S+)$"
        assert {*needs} == {re.sub(pinned, lambda at: f"{at[1]}>={at[2]},<{int(at[3]) + 1}", need) for need in others}
    assert not expected
