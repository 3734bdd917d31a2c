"""docs/operations/azure.md has every key of the sections of Azure, with its default."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.azure.sections import AzureStore, ContainerAppServer, DnsZones, PrivateEndpoint, VaultNetwork
from components.section import Section
from tests.unit.page import rows

PAGE = (Path(__file__).resolve().parents[2] / "docs/operations/azure.md").read_text()


@pytest.mark.parametrize(("section", "model"), [("`store`", AzureStore), ("`server`", ContainerAppServer)])
def test_the_page_has_every_key_of_a_section_with_its_default(section: str, model: type[Section]) -> None:
    told = rows(PAGE, section)
    assert told.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        default = told[name].partition("|")[0].strip()
        if field.is_required():
            assert default == "", name
        elif field.default in (None, ()):
            assert re.match(r"none|one is made", default), name
        else:
            assert default == str(field.default).lower(), name


@pytest.mark.parametrize("model", [VaultNetwork, PrivateEndpoint, DnsZones])
def test_the_page_has_every_key_of_a_section_within_a_section(model: type[Section]) -> None:
    networks = PAGE.partition("## Networks\n")[2].partition("\n### ")[0]
    assert model.model_fields.keys() - {"subnet"} <= set(re.findall(r"`(\w+)`", networks))
