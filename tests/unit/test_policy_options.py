"""The rules have no false alarms: every valid stack file of the tables keeps each rule. Together the files set every
option."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from components.settings.schema import WITH_KINDS, inner_section, kinds_of, models
from components.settings.section import Section
from components.settings.stack_file import sections_of
from tests.unit.broken_stack_files import unusual, unusual_names
from tests.unit.policy_plans import OWN, STACK_FILES, planned, text_of, verdicts


@pytest.mark.slow
@pytest.mark.parametrize("name", unusual_names())
def test_valid_stack_file_breaks_no_rule(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))  # for server.registry_login
    row, _ = unusual(name)
    assert {rule: found for rule, found in verdicts(planned(row.text, row.stack)).items() if found != "kept"} == {}


def options(model: type[BaseModel], at: str) -> Iterator[str]:
    for name, entry in model.model_fields.items():
        yield f"{at}.{name}"
        if inner := inner_section(entry.annotation):
            yield from options(inner, f"{at}.{name}")


def options_set(entry: dict[str, Any], at: str) -> Iterator[str]:
    for key, inner in entry.items():
        yield f"{at}.{key}"
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from options_set(one, f"{at}.{key}")


def test_every_option_is_set_in_a_stack_file_that_is_judged() -> None:
    texts = [path.read_text() for path in STACK_FILES.values()]
    texts += [*map(text_of, OWN), *(unusual(name)[0].text for name in unusual_names())]
    known: dict[tuple[str, str], type[Section]] = {
        (section, kind): model for section in WITH_KINDS for model in models(section) for kind in kinds_of(model)
    }
    found = {
        option
        for text in texts
        for section, entry in sections_of(text).items()
        if isinstance(entry, dict) and (model := known.get((section, entry.get("kind", ""))))
        for option in options_set(entry, f"{section}:{model.__name__}")
    }
    there = {
        option for (section, _), model in known.items() for option in options(model, f"{section}:{model.__name__}")
    }
    assert there - found == set()
