"""No rule refuses what a stack file may say; one that does names the key to change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from components.naming import PROJECT
from components.section import Section
from components.section_models import SECTIONS
from policies.evidence import Verdict, judge
from policies.rule import Plan
from tests.unit.policy_options import SAID, Said
from tests.unit.policy_plans import STACK_FILES, planned
from tests.unit.stack_file import StackFile

MODELS = set(Section.__subclasses__())
"""Of everything that a section says."""


@pytest.fixture(autouse=True)
def a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if whoever deploys had logged in at the registry: the login itself is looked at by nobody."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {}}, "credsStore": "one"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def text_of(said: Said) -> str:
    """The stack file."""
    given = yaml.safe_load(STACK_FILES[said.file].read_text())["config"]
    for name, text in said.sections.items():
        section = yaml.safe_load(text)
        before = given.get(f"{PROJECT}:{name}")
        given[f"{PROJECT}:{name}"] = {**before, **section} if isinstance(before, dict) else section
    return yaml.safe_dump({"config": given})


def plan_of(said: Said) -> Plan:
    return planned(text_of(said), said.stack or said.file)


@pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
@pytest.mark.parametrize("said", SAID, ids=lambda said: f"{said.file}: {said.says}")
def test_what_a_stack_file_may_say_breaks_no_rule_but_the_one_that_names_the_key(said: Said) -> None:
    found = {one.rule.name: one for one in judge(plan_of(said)) if one.verdict is not Verdict.NOT_APPLICABLE}

    told = {name: [finding.message for finding in one.findings] for name, one in found.items() if one.findings}
    assert {name: messages for name, messages in told.items() if name not in said.breaks} == {}
    assert set(told) == set(said.breaks), "an exception that is none any more"
    for rule, key in said.breaks.items():
        assert all(key in message for message in told[rule]), "the remedy is a key of the stack file"


def test_each_key_of_a_stack_file_is_said_other_than_by_default() -> None:
    said = {key for one in SAID for section in _sections(one) for key in _said(section)}
    there = {f"{model.__name__}.{key}" for model in MODELS for key in model.model_fields}

    assert sorted(there - said) == []


def _sections(said: Said) -> Iterator[Any]:
    """Each section, parsed by itself."""
    for name, text in StackFile.read(text_of(said)).entries.items():
        if name in SECTIONS:
            yield SECTIONS[name].validate_json(text if text[:1] == "{" else json.dumps(text))


def _said(entry: Any) -> Iterator[str]:
    """Each key that has not its default, at any depth, with the model's name."""
    match entry:
        case BaseModel():
            for key, field in type(entry).model_fields.items():
                inner = getattr(entry, key)
                if inner != field.default:
                    yield f"{type(entry).__name__}.{key}"
                yield from _said(inner)
        case dict():
            for inner in entry.values():
                yield from _said(inner)
