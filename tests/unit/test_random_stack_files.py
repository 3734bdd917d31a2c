"""Valid stack files of each platform, with one or two places replaced or removed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.naming import PROJECT
from components.settings.problems import WIDTH
from components.settings.settings import ConfigurationError, Settings
from components.settings.stack_file import encrypted_of, handed_over
from tests.unit.broken_stack_files import CANARY, LOGIN, base, bases
from tests.unit.editor import refusals
from tests.unit.fuzz import BOUNDED, spoiled

VALUES = ({"password": CANARY}, {"a": {"api_key": CANARY}}, [f"mqtts://{LOGIN}@mqtt.example.com"])


@pytest.mark.parametrize("name", bases())
def test_a_stack_file_with_anything_in_one_place_is_accepted_or_refused(name: str) -> None:
    sections = base(name)

    @BOUNDED
    @given(spoiled((sections,)), st.sampled_from(VALUES), st.booleans())
    def holds(found: Any, value: Any, pasted: bool) -> None:
        given_sections = found if isinstance(found, dict) else {"store": found}
        if pasted:
            given_sections = {**given_sections, "mqtt": value}
        entries = {name: handed_over(entry) for name, entry in given_sections.items()}
        try:
            Settings.parse("dev", entries, encrypted=encrypted_of(given_sections))
        except ConfigurationError as error:
            text, problems = str(error), error.problems
        else:
            assert not pasted
            document = {"config": {f"{PROJECT}:{key}": entry for key, entry in given_sections.items()}}
            assert refusals(document) == [], "the schema refuses a valid file"
            return
        assert CANARY not in text
        assert all(problem.what and problem.rule and problem.remedy for problem in problems)
        assert all(line.isprintable() for line in text.splitlines())
        wide = [line for line in text.splitlines() if len(line) > WIDTH]
        assert not [line for line in wide if " " in line.strip().removeprefix("-> ")]

    holds()
