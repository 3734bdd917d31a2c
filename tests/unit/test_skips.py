"""With CI=true a skip is a failure unless tests/conftest.py declares its reason."""

import pytest

from tests.conftest import MAY_BE_MISSING

pytest_plugins = ["pytester"]


@pytest.mark.parametrize(
    ("reason", "outcomes"),
    [("mosquitto is not installed", {"failed": 1}), (f"{next(iter(MAY_BE_MISSING))} is not here", {"skipped": 1})],
)
def test_skip_fails_in_ci_unless_its_reason_is_declared(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, reason: str, outcomes: dict[str, int]
) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(f"import pytest\n\n\ndef test_it():\n    pytest.skip({reason!r})")
    done = pytester.runpytest_inprocess("-p", "tests.conftest", "-p", "no:cacheprovider")
    done.assert_outcomes(**outcomes)
