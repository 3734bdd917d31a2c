"""The imports of what the wheel holds, as its build writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.wheel_names import NAME, TOOLS, renamed

ROOT = Path(__file__).resolve().parents[2]
HELD = [*(ROOT / "components").rglob("*.py"), ROOT / "settings.py", *(ROOT / "tools" / name for name in TOOLS)]


def test_every_module_of_the_wheel_imports_ours_in_a_form_that_can_be_renamed() -> None:
    for module in HELD:
        text = module.read_text()
        assert len(renamed(text).splitlines()) == len(text.splitlines()), (
            f"{module}: a traceback's lines are the clone's"
        )


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("from components.naming import PROJECT", f"from {NAME}.naming import PROJECT"),
        ("def late():\n    from components import naming", f"def late():\n    from {NAME} import naming"),
        ("from settings import Settings", f"from {NAME}.settings import Settings"),
        ("from components_of_theirs import naming", "from components_of_theirs import naming"),
        ("from secretops.errors import UsageError", "from secretops.errors import UsageError"),
    ],
)
def test_an_import_of_ours_gets_the_wheels_name_and_no_other_does(line: str, becomes: str) -> None:
    assert renamed(line) == becomes


@pytest.mark.parametrize("line", ["import components.naming", "if 1: from tools import steps"])
def test_an_import_that_would_keep_the_clones_name_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="write it as from"):
        renamed(line)
