"""docs/operations/azure.md against the program: its keys, its alerts, its first steps, and the rights that it names.

And each command of Azure's CLI against what that CLI takes.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from components.azure import alerts
from components.azure.names import names_of
from components.azure.sections import AzureStore, ContainerAppServer, DnsZones, PrivateEndpoint, VaultNetwork
from components.section import Section
from tests.unit.azure_stack import shipped, with_every_option
from tests.unit.harness import Deployed, ca_file
from tests.unit.page import rows
from tests.unit.test_docs import PAGES, commands

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
"""The SDK warns of what nobody here uses."""

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/operations/azure.md").read_text()
CLI = json.loads((ROOT / "tests/unit/azure_cli.json").read_text())


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    return shipped(ca_file(tmp_path_factory.mktemp("ca")))


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
def test_the_page_tells_every_key_of_a_section_within_a_section(model: type[Section]) -> None:
    networks = PAGE.partition("## Networks\n")[2].partition("\n### ")[0]
    assert model.model_fields.keys() - {"subnet"} <= set(re.findall(r"`(\w+)`", networks)), (
        "the endpoints' is described"
    )


def test_the_page_has_every_alert_and_no_other(prod: Deployed) -> None:
    made = {name.removeprefix("alert-") for name in prod.resources if name.startswith("alert-")}
    assert rows(PAGE, "alert").keys() == made


def test_the_pages_numbers_of_resources_are_the_programs(prod: Deployed) -> None:
    rules = prod.of_type("azure-native:monitor:ScheduledQueryRule")
    endpoints = with_every_option().of_type("azure-native:network:PrivateEndpoint")
    made = [one for one in prod.resources.values() if one.type.startswith("azure-native:")]
    granted = prod.of_type("azure-native:authorization:RoleAssignment")

    assert f"| {len(rules)} rules on the log" in PAGE
    assert len(endpoints) == 3 and "| three endpoints |" in PAGE
    assert f"About fifty resources, {len(granted)} of them role assignments" in PAGE
    assert round(len(made), -1) == 50


def test_the_pages_first_steps_are_those_that_the_stack_tells(prod: Deployed) -> None:
    block = PAGE.partition("## From nothing to ready\n")[2].partition("```sh\n")[2].partition("```")[0]
    steps = [re.sub(r" \(.*?\)|--subscription \S+ ", "", step) for step in prod.exports["next"].split(", then ")]
    *commands, last, _ = [*steps[:-1], *steps[-1].split(", and ")]
    places = [block.replace("--subscription … ", "").index(step) for step in commands]
    assert len(places) >= 4
    assert places == sorted(places)
    assert last.startswith("bootstrapped: true") and "write `bootstrapped: true` into the section `server`" in PAGE


def test_the_page_says_of_whoever_may_start_a_job_what_the_alert_is_for() -> None:
    assert "Microsoft.App/jobs/start/action" in alerts.ACCESS_CHANGES
    assert "**Contributor\non the group may become a reader of everything**" in PAGE


def test_all_names_that_wait_for_deletion_have_the_generation_in_them() -> None:
    """As the section Made anew says of three of them."""
    store = AzureStore(
        kind="azure",
        tenant="66666666-7777-8888-9999-000000000000",
        subscription="11111111-2222-3333-4444-555555555555",
        location="westeurope",
        operators=("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",),
    )
    first, second = (names_of(store.model_copy(update={"generation": one}), "prod") for one in (1, 2))
    for name in ("vault", "storage", "workspace"):
        assert getattr(first, name) != getattr(second, name), name


def test_every_list_of_azures_has_its_address_and_its_date() -> None:
    lists = json.loads((ROOT / "tests/unit/azure_tables.json").read_text())
    for one in (*lists["tables"].values(), lists["operations"], lists["claims"]):
        assert one["page"].startswith("https://")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one["dated"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one["read"])


def refusal(words: list[str]) -> str:
    """Why Azure's CLI would not take a command, by what is known of it; nothing if it would."""
    known = {tuple(name.split()): takes for source in CLI["sources"] for name, takes in source["commands"].items()}
    name = max((one for one in known if tuple(words[: len(one)]) == one), key=len, default=None)
    if name is None:
        return "not among the commands of azure_cli.json"
    given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    takes = known[name]
    lacking = [names for names in takes["required"] if not given & set(names)]
    foreign = given - {*takes["options"], *CLI["any"], *(one for names in takes["required"] for one in names)}
    return f"lacks {lacking}, does not take {sorted(foreign)}" if lacking or foreign else ""


def test_every_az_command_on_a_page_of_azure_has_what_it_requires_and_nothing_that_it_does_not_take() -> None:
    """By the CLI's own parser, and for its extension by its page. That it does what the page says is not proven."""
    told = [words[1:] for page in PAGES if "azure" in page.name for words in commands(page, "az")]
    told += [inner.split() for inner in re.findall(r"\$\(az ([^)]+)\)", PAGE)]
    assert len(told) > 15
    assert {" ".join(words): why for words in told if (why := refusal(words))} == {}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("containerapp revision deactivate -n a -g b", "lacks [['--revision']], does not take []"),
        ("keyvault secret recover --vault-name a -n b --force", "lacks [], does not take ['--force']"),
        ("keyvault secret", "not among the commands of azure_cli.json"),
    ],
)
def test_a_command_that_azures_cli_would_not_take_is_found(command: str, why: str) -> None:
    assert refusal(command.split()) == why
