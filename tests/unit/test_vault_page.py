"""docs/operations/vault.md against the program: its keys, its rights, and each command of `bao` and its options.

That its blocks do what it says is shown by tests/stacks, which run them on a real OpenBao, and deploy with the rights
of the page's policy. What nobody runs here, and why, is in tests/stacks/pages.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.section import Section
from components.vault.sections import VaultAppRole, VaultJwt, VaultKubernetes, VaultPki, VaultStore
from tests.unit.page import rows
from tests.unit.test_docs import commands

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "docs/operations/vault.md"
PAGE = FILE.read_text()

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


RUN = {"An operator", "Secret ids", "Client certificates", "In a cluster"}
"""Sections whose blocks tests/stacks/test_vault_{local,kubernetes}.py run with the names of their stack; the last one
with the address, CA and reviewer of a cluster elsewhere."""


def test_the_blocks_that_tests_run_are_there_once() -> None:
    for section in RUN:
        assert PAGE.count(f"# {section}\n") == 1
        body = PAGE.partition(f"# {section}\n")[2].partition("\n#")[0]
        assert body.count("```sh\n") == 1, section
    assert PAGE.count("```hcl\n") == 1, "who deploys in the tests has those rights and no others"


KNOWN = {
    "login": {"-method", "-no-print"},
    "read": {"-field"},
    "write": {"-f", "-field", "-wrap-ttl"},
    "auth": set[str](),  # enable
    "token": {"-mode"},
}
"""Commands of bao and the options that the page gives them. Tests run all of them."""


def test_every_bao_command_on_the_page_is_a_known_one() -> None:
    told = list(commands(FILE, "bao"))
    assert len(told) > 6
    for _, name, *rest in told:
        options = {word.partition("=")[0] for word in rest if re.match(r"-[a-z]", word)}
        assert options <= KNOWN[name], (name, rest)


def test_the_deployers_rights_name_one_stack_and_nothing_of_others() -> None:
    block = PAGE.partition("```hcl\n")[2].partition("```")[0]
    paths = re.findall(r'^path "([^"]+)"', block, re.MULTILINE)
    assert len(paths) >= 20
    base, own = "coreflux-mcp-dev-vault-local", r"(-(server|rotator|operator|approle|pki|root|[12]))?"
    named = [path for path in paths if re.search(rf"(^|/){base}{own}(/|$)", path)]
    assert [path for path in paths if path not in named] == ["sys/audit"]
    assert [path for path in paths if "*" in path.removesuffix("/*") or "+" in path] == [], "whole names alone"
