"""The component in another program, under mocks. All of a stack's resources are below it."""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
import yaml

from components import coreflux_secrets
from components.arguments import CorefluxSecretsArgs
from components.core.naming import PROJECT
from components.coreflux_secrets import CorefluxSecrets
from components.settings.section import PROJECT_FOLDER
from components.settings.settings import ConfigurationError
from tests.unit.aws_stack import IMAGE, OPERATOR
from tests.unit.harness import Deployed, deploy
from tests.unit.stack_file import StackFile

COMPONENT = "coreflux-mcp-secrets:index:CorefluxSecrets"
NOTHING = StackFile({}, [])
OTHERS = ("staging", "prod", "prod-aws-kubernetes", "prod-azure", "prod-vault-swarm")
DEV: dict[str, Any] = {"store": {"kind": "dotenv"}, "server": {"kind": "local"}, "broker": {"kind": "embedded"}}


def sections_of(text: str) -> dict[str, Any]:
    return {key.removeprefix(f"{PROJECT}:"): entry for key, entry in yaml.safe_load(text)["config"].items()}


def below_a_component(sections: Mapping[str, Any], stack: str = "dev", *, into: Deployed | None = None) -> Deployed:
    def program() -> None:
        made = CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, sections))
        for name in CorefluxSecrets.__annotations__:
            pulumi.export(name, getattr(made, name))

    return deploy(NOTHING, stack, program=program, into=into)


@pytest.mark.parametrize("page", ["README.md", "docs/operations/component.md"])
def test_first_program_of_a_page_declares_a_stack_that_breaks_no_rule(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.policy_plans import plan_of, verdicts

    text, *_ = re.findall(r"```python\n(.*?)```", (PROJECT_FOLDER / page).read_text(), re.DOTALL)
    monkeypatch.setitem(sys.modules, "coreflux_mcp_secrets", coreflux_secrets)
    deployed = deploy(NOTHING, "dev", program=lambda: exec(text, {}))  # noqa: S102 - a page of ours
    assert deployed.exports["secretops"] == below_a_component(DEV).exports["secretops"]
    assert "broken" not in verdicts(plan_of(deployed, "dev")).values()


def test_the_first_test_of_contributing_passes() -> None:
    (text,) = re.findall(r"```python\n(.*?)```", (PROJECT_FOLDER / "CONTRIBUTING.md").read_text(), re.DOTALL)
    defined: dict[str, Any] = {}
    exec(text, defined)  # noqa: S102 - a page of ours
    tests = [function for name, function in defined.items() if name.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


@pytest.mark.parametrize("stack", ["dev", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_equal_stack_file_and_component_register_the_same(stack: str) -> None:
    from tests.unit.policy_plans import STACK_FILES, with_fakes

    with with_fakes(STACK_FILES[stack].read_text()) as text:
        sections = sections_of(text)
        alone = deploy(StackFile.read(yaml.safe_dump({"config": sections})), stack)
        below = below_a_component(sections, stack)
    whole = below.resources.pop("mcp")
    assert (whole.type, whole.parent) == (COMPONENT, "")
    assert below.resources.keys() == alone.resources.keys()
    for name, made in alone.resources.items():
        assert below.resources[name].parent == (made.parent or "mcp")
        assert below.resources[name].inputs == made.inputs
        assert below.resources[name].protected == made.protected
        assert below.resources[name].depends_on == made.depends_on
    assert below.exports == alone.exports


def refused(sections: Mapping[str, Any], stack: str = "dev") -> tuple[str, list[str]]:
    into = Deployed()
    with pytest.raises(ConfigurationError) as error:
        below_a_component(sections, stack, into=into)
    assert into.resources == {}
    return str(error.value).splitlines()[0], [" ".join(str(problem).split()) for problem in error.value.problems]


def test_all_wrong_arguments_are_reported_and_nothing_is_registered() -> None:
    head, found = refused({**DEV, "store": {"kind": "dotenv", "rooot": "/x"}, "log_level": "LOUD", "stroe": {}})
    assert head == "CorefluxSecrets mcp has 3 errors; nothing was changed:"
    assert [what.split(":")[0] for what in found] == ["store.rooot", "log_level", "stroe"]


def test_a_value_among_the_arguments_is_refused_and_not_repeated() -> None:
    value = secrets.token_urlsafe(24)
    head, (message,) = refused({**DEV, "server": {"kind": "local", "password": value}})
    assert "secretops put" in message
    assert value not in head + message


@pytest.mark.parametrize("make", [pulumi.Output.from_input, pulumi.Output.secret])
def test_an_output_among_the_arguments_is_refused_and_not_shown(make: Any) -> None:
    value = secrets.token_urlsafe(24)

    def program() -> None:
        sections = {**DEV, "secrets": {"db": {"fields": ["url", make(value)]}}}
        CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, sections))

    with pytest.raises(ConfigurationError) as error:
        deploy(NOTHING, "dev", program=program)
    (message,) = error.value.problems
    assert message.what == "secrets.db.fields.1: must not be a Pulumi output"
    assert value not in str(error.value)


def encrypted(config: Mapping[str, Any], sections: Mapping[str, Any]) -> tuple[Deployed, str]:
    """Return the resources and the warnings of a program that passes encrypted entries to the component."""
    into = Deployed()

    def program() -> None:
        texts = {key: entry if isinstance(entry, str) else json.dumps(entry) for key, entry in config.items()}
        pulumi.runtime.set_all_config(texts, list(texts))  # the run's own, which forgets it
        CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, sections))

    with pytest.raises(ConfigurationError) as error:
        deploy(NOTHING, "dev", program=program, into=into)
    return into, str(error.value)


@pytest.mark.parametrize(
    ("configured", "passed"),
    [
        ({"shop:broker": DEV["broker"]}, DEV),
        ({"shop:host": "hidden.example"}, {**DEV, "broker": {"kind": "coreflux", "host": "hidden.example"}}),
        ({"shop:digits": "123456789012"}, {**DEV, "broker": {"kind": "coreflux", "host": "123456789012"}}),
    ],
    ids=["a-section", "a-text", "digits"],
)
def test_encrypted_configuration_is_refused_and_not_repeated(
    configured: dict[str, Any], passed: dict[str, Any]
) -> None:
    into, warnings = encrypted(configured, passed)
    assert into.resources == {}
    (key,) = configured
    assert re.search(rf"{key}: .*secure:", warnings)
    assert "hidden" not in warnings


class Shop(pulumi.ComponentResource):
    def __init__(self, kind: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"shop:index:{kind}", kind, None, opts)


def test_a_second_component_is_refused_also_of_the_same_name_below_another_parent() -> None:
    def program() -> None:
        for kind in ("Shop", "Branch"):
            CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, DEV), pulumi.ResourceOptions(parent=Shop(kind)))

    with pytest.raises(pulumi.RunError, match="component-twice"):
        deploy(NOTHING, "dev", program=program)


@pytest.mark.parametrize("option", ["provider", "providers"])
def test_a_provider_is_refused_where_it_would_change_nothing(option: str) -> None:
    into = Deployed()

    def program() -> None:
        provider = pulumi.ProviderResource("aws", "elsewhere", {"region": "us-east-1"})
        options = pulumi.ResourceOptions(**{option: provider if option == "provider" else [provider]})  # type: ignore[arg-type]
        CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, DEV), options)

    with pytest.raises(pulumi.RunError, match=r"unused provider of package aws \[provider-unused"):
        deploy(NOTHING, "dev", program=program, into=into)
    assert into.resources.keys() == {"elsewhere"}


def test_a_platform_that_is_not_installed_is_reported_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_its_sdk(*_: object) -> None:
        raise ModuleNotFoundError("no module", name="pulumi_azure_native.keyvault")

    into = Deployed()
    monkeypatch.setattr(coreflux_secrets, "_settings", without_its_sdk)
    with pytest.raises(pulumi.RunError, match=r"pulumi_azure_native.*extra-missing(.|\n)*-> .*make setup"):
        below_a_component(DEV, into=into)
    assert into.resources == {}


# Prints the codes of each set of arguments. No SDK can be imported.
WITHOUT_SDKS = """
import json, sys
from importlib.abc import MetaPathFinder

SDKS = {"azure", "boto3", "botocore", "docker", "hvac", "lightkube", "requests"}

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in SDKS or top.startswith("pulumi_"):
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Missing())
from components import coreflux_secrets
from components.settings.settings import ConfigurationError
from tests.unit.test_component import below_a_component

coreflux_secrets.is_mocked = lambda: False  # so preflight runs
for sections in json.loads(sys.stdin.read()):
    try:
        below_a_component(sections)
        print("none")
    except ConfigurationError as error:
        print(*sorted({one.code for one in error.problems}))
    except Exception as error:
        print(getattr(error, "code", repr(error)))
"""
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"store": {"kind": "dotenvv"}}, "unknown-kind"),
    ({"server": {"kind": "kubernetess"}}, "unknown-kind"),
    ({"broker": {"kind": "embeded"}}, "unknown-kind"),
    ({"store": {}}, "kind-missing"),
    ({"stores": {"kind": "dotenv"}}, "unknown-section"),
    ({"server": {"kind": "local", "sorce": "/opt/server"}}, "unknown-key"),
    ({"store": {"kind": "vault"}}, "key-missing"),
]


@pytest.mark.real
def test_errors_have_their_codes_when_no_platform_is_installed() -> None:
    from tests.unit.policy_plans import OWN, text_of

    ca = ", ca_file: /etc/ssl/certs/ca.crt"
    needs_none = {"dev": "none", "staging-on-files": "none"}
    expected = [({**DEV, **mistake}, code) for mistake, code in MISTAKES]
    expected += [(sections_of(text_of(stack).replace(ca, "")), needs_none.get(stack, "extra-missing")) for stack in OWN]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SDKS], input=json.dumps([sections for sections, _ in expected]),
        cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [code for _, code in expected]


@pytest.mark.parametrize(("port", "right"), [(1883.0, True), (1883.5, False)])
def test_a_whole_number_is_one_also_where_the_engine_makes_it_a_fraction(port: float, right: bool) -> None:
    sections = {**DEV, "broker": {"kind": "embedded", "port": port}}
    if right:
        assert below_a_component(sections).exports["secretops"]["broker"]["port"] == 1883
    else:
        _, (message,) = refused(sections)
        assert message.startswith("broker.port: 1883.5")


def test_encrypted_entry_outside_the_component_is_ignored() -> None:
    config = {"shop:database": json.dumps({"kind": "local", "fields": ["url"], "more": {}}), "shop:key": "kept"}

    def program() -> None:
        pulumi.runtime.set_all_config(config, list(config))
        CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, {**DEV, "secrets": {"db": {"fields": ["url"]}}}))

    assert "mcp" in deploy(NOTHING, "dev", program=program).resources


@pytest.mark.parametrize(
    ("subnets", "what"),
    [(["vpc-01234567"], "server.subnets.0: vpc-01234567"), ([], "server.subnets: "), ("subnet", "server.subnets: ")],
)
def test_wrong_output_is_refused_once_it_is_known(subnets: Any, what: str) -> None:
    aws = {"kind": "aws", "region": "eu-central-1", "account": "123456789012", "operators": [OPERATOR]}
    ecs = {"kind": "ecs", "image": IMAGE, "security_groups": ["sg-01234567"]}

    def program() -> None:
        server = {**ecs, "subnets": pulumi.Output.from_input(subnets)}
        sections = {"store": aws, "server": server, "broker": {"kind": "coreflux", "host": "mqtt.example.com"}}
        CorefluxSecrets("mcp", cast(CorefluxSecretsArgs, sections))

    with pytest.raises(pulumi.RunError, match=rf"^{what}.*(\n.*)+-> "):
        deploy(NOTHING, "prod", program=program)
