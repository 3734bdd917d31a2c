"""Generated files are up to date. `make docs` writes them after a change."""

import pytest

from components.settings.schema import WITH_KINDS, kinds_of, models
from tools.pages import PAGES, ROOT
from tools.settings_page import render


@pytest.mark.parametrize("path", PAGES)
def test_a_generated_page_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text() == PAGES[path](), "write it with: make docs"


def test_every_key_of_every_kind_has_its_row() -> None:
    page = render()
    for section in WITH_KINDS:
        for model in models(section):
            kinds = " or ".join(f"`{kind}`" for kind in kinds_of(model))
            table = page.partition(f"### {section}, kind {kinds}\n")[2].partition("\n#")[0]
            assert [key for key in model.model_fields if key != "kind" and f"| `{key}` |" not in table] == [], kinds
