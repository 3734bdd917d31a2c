"""The JSON Schema of a stack file accepts all valid files of the suite, and refuses most of the broken ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.settings.section import PROJECT_FOLDER
from components.settings.stack_file import document
from tests.unit import editor
from tests.unit.broken_stack_files import base, bases, names, row, unusual, unusual_names

SHIPPED = [*PROJECT_FOLDER.glob("Pulumi.*.yaml"), *PROJECT_FOLDER.glob("examples/Pulumi.*.yaml")]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_file_names_the_schema_in_its_first_line_and_is_valid(path: Path) -> None:
    first, *_ = path.read_text().splitlines()
    assert (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve() == editor.SCHEMA
    assert editor.refusals(document(path.read_text())) == []


@pytest.mark.parametrize("name", unusual_names())
def test_unusual_file_is_valid(name: str) -> None:
    assert editor.refusals(document(unusual(name)[0].text)) == []


@pytest.mark.parametrize("name", bases())
def test_file_without_prefixes_with_an_environment_or_with_other_programs_keys_is_valid(name: str) -> None:
    sections = base(name)
    if name != "azure-local":  # this base is completed by its rows
        assert editor.refusals({"config": sections, "encryptionsalt": "v1:salt"}) == []
    assert editor.refusals({"environment": ["plant"]}) == []


def test_schema_refuses_most_broken_files_and_settings_page_states_how_many() -> None:
    refused = [name for name in names() if editor.refusals(document(row(name).text))]
    stated = f"{len(refused)} of the {len(names())}"
    assert len(refused) >= 0.8 * len(names()), stated
    page = " ".join((PROJECT_FOLDER / "docs/settings.md").read_text().split())
    assert stated in page, f"write: {stated}"


def test_no_list_of_words_repeats_one_which_some_editors_refuse() -> None:
    lists = list[list[Any]]()
    json.loads(editor.SCHEMA.read_text(), object_hook=lambda found: lists.append(found.get("enum", [])))
    assert [words for words in lists if len(words) != len(set(map(str, words)))] == []
