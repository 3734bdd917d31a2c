"""The pages of Azure and Vault have every key of their sections, with its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.azure.sections import AzureStore, ContainerAppServer
from components.section import Section
from components.vault.sections import VaultAppRole, VaultJwt, VaultKubernetes, VaultPki, VaultStore
from tests.unit.page import rows

PAGES = Path(__file__).resolve().parents[2] / "docs/operations"
SECTIONS: list[tuple[str, str, type[Section]]] = [
    ("azure.md", "`store`", AzureStore),
    ("azure.md", "`server`", ContainerAppServer),
    ("vault.md", "`store`", VaultStore),
    ("vault.md", "`store.approle`", VaultAppRole),
    ("vault.md", "`store.jwt`", VaultJwt),
    ("vault.md", "`store.kubernetes`", VaultKubernetes),
    ("vault.md", "`store.pki`", VaultPki),
]


@pytest.mark.parametrize(("page", "section", "model"), SECTIONS)
def test_the_page_has_every_key_of_a_section_with_its_default(page: str, section: str, model: type[Section]) -> None:
    told = rows((PAGES / page).read_text(), section)
    assert told.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        default = told[name].partition("|")[0].strip()
        if field.is_required():
            assert default == "", name
        elif field.default in (None, ()):
            assert re.match(r"none|one is made", default), name
        else:
            assert default == str(field.default).lower(), name


def test_the_deployers_rights_name_one_stack_and_nothing_of_others() -> None:
    block = (PAGES / "vault.md").read_text().partition("```hcl\n")[2].partition("```")[0]
    paths = re.findall(r'^path "([^"]+)"', block, re.MULTILINE)
    assert len(paths) >= 20
    base, own = "coreflux-mcp-dev-vault-local", r"(-(server|rotator|operator|approle|pki|root|[12]))?"
    assert [path for path in paths if not re.search(rf"(^|/){base}{own}(/|$)", path)] == ["sys/audit"]
    assert [path for path in paths if "*" in path.removesuffix("/*") or "+" in path] == [], "whole names alone"
