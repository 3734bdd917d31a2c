"""What is generated is what it is generated from, as of now: after a change `make docs` writes it anew."""

from typing import get_args

import pytest

from components.settings.schema import OF_KINDS
from tools.pages import PAGES, ROOT
from tools.settings_page import render


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == PAGES[path](), "write it anew with: make docs"


def test_every_key_of_every_kind_has_its_row() -> None:
    page = render()

    for section, union in OF_KINDS.items():
        for model in get_args(union):
            kinds = " or ".join(f"`{kind}`" for kind in get_args(model.model_fields["kind"].annotation))
            table = page.partition(f"### {section}, kind {kinds}\n")[2].partition("\n#")[0]
            assert [key for key in model.model_fields if key != "kind" and f"| `{key}` |" not in table] == [], kinds
