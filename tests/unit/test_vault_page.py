"""docs/operations/vault.md has every key of the sections of Vault; who deploys has rights on one stack alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.section import Section
from components.vault.sections import VaultAppRole, VaultJwt, VaultKubernetes, VaultPki, VaultStore
from tests.unit.page import rows

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations/vault.md").read_text()

SECTIONS: dict[str, type[Section]] = {
    "`store`": VaultStore,
    "`store.approle`": VaultAppRole,
    "`store.jwt`": VaultJwt,
    "`store.kubernetes`": VaultKubernetes,
    "`store.pki`": VaultPki,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_key_of_a_section_with_its_default(section: str) -> None:
    told, model = rows(PAGE, section), SECTIONS[section]
    assert told.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        default = told[name].partition("|")[0].strip()
        if field.is_required():
            assert default == "", name
        elif field.default in (None, ()):
            assert default == "none", name
        else:
            assert default == str(field.default).lower(), name


def test_the_deployers_rights_name_one_stack_and_nothing_of_others() -> None:
    block = PAGE.partition("```hcl\n")[2].partition("```")[0]
    paths = re.findall(r'^path "([^"]+)"', block, re.MULTILINE)
    assert len(paths) >= 20
    base, own = "coreflux-mcp-dev-vault-local", r"(-(server|rotator|operator|approle|pki|root|[12]))?"
    named = [path for path in paths if re.search(rf"(^|/){base}{own}(/|$)", path)]
    assert [path for path in paths if path not in named] == ["sys/audit"]
    assert [path for path in paths if "*" in path.removesuffix("/*") or "+" in path] == [], "whole names alone"
