"""What is told of a part that is missing: never to install PyPI's package of our name, which is somebody else's."""

import runpy
import shutil
from pathlib import Path

import pytest

from secretops import registry


def test_no_text_of_secretops_names_an_extra_of_a_package_that_is_somebody_elses() -> None:
    sources = Path(registry.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if "secretops[" in path.read_text()] == []


def test_in_the_clone_its_own_command_is_the_remedy() -> None:
    assert registry.how_to_install("aws").startswith("make setup")


@pytest.mark.parametrize(
    ("extra", "named"), [("aws", "coreflux-mcp-secrets[aws] @"), ("report", "coreflux-mcp-secrets @")]
)
def test_in_another_program_it_is_the_wheel_with_the_extras_that_it_has(extra: str, named: str, tmp_path: Path) -> None:
    """As it lies there: beside the package of the component."""
    (tmp_path / "coreflux_mcp_secrets").mkdir()
    (tmp_path / "secretops").mkdir()
    there = shutil.copy(Path(registry.__file__), tmp_path / "secretops")
    told = runpy.run_path(str(there))["how_to_install"](extra)
    assert told.startswith(f'pip install "{named} git+')
    assert "docs/operations/component.md" in told
