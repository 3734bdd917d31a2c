"""What is generated is what it is generated from, as of now: after a change `make docs` writes it anew."""

from __future__ import annotations

from typing import get_args

import pytest

from components.aws.sections import AwsStore
from components.kubernetes.sections import KubernetesServer
from components.section_models import OF_KINDS, SECTIONS
from components.sections import OutsideBroker
from components.swarm.sections import SwarmServer
from tools.pages import PAGES, ROOT
from tools.settings_page import OF_ONE, SETS, render, rule_of


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == PAGES[path](), "write it anew with: make docs"


def test_the_settings_page_has_every_section_that_a_stack_file_may_have() -> None:
    shown = {*OF_KINDS, *(name.partition(".")[0] for name in OF_ONE), "log_level", "environment"}

    assert shown == set(SETS) == set(SECTIONS)


@pytest.mark.parametrize(
    ("model", "key", "rule"),
    [
        (AwsStore, "object_lock", "one of governance, compliance"),
        (AwsStore, "replicas", "a list, each: an AWS region's code"),
        (KubernetesServer, "replicas", "from 1 to 100 replicas"),
        (OutsideBroker, "tls", "true or false"),
        (OutsideBroker, "port", "from 1 to 65535"),
        (SwarmServer, "image", "an image by its tag or digest"),
    ],
)
def test_the_rule_of_a_key_is_what_a_wrong_entry_is_told(model: type, key: str, rule: str) -> None:
    assert rule_of(model.model_fields[key]).startswith(rule)  # type: ignore[attr-defined]


def test_every_key_of_every_kind_has_its_row() -> None:
    page = render()

    for section, union in OF_KINDS.items():
        for model in get_args(union):
            kinds = " or ".join(f"`{kind}`" for kind in get_args(model.model_fields["kind"].annotation))
            table = page.partition(f"### {section}, kind {kinds}\n")[2].partition("\n#")[0]
            assert [key for key in model.model_fields if key != "kind" and f"| `{key}` |" not in table] == [], kinds
