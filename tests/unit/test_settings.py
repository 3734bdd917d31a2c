"""Valid stack files, and values at the limits of a rule. broken_stack_files.yaml has invalid files."""

import json
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.core.broker import ca_bundle
from components.core.matrix import deployable_pairs
from components.core.secret_store import SecretStoreArgs
from components.dotenv.settings import DotenvStore, LocalServer
from components.settings.cross_field_rules import warnings
from components.settings.problems import Problem
from components.settings.section import PROJECT_FOLDER
from components.settings.sections import EmbeddedBroker, Environment, OutsideBroker, Rotation
from components.settings.settings import ConfigurationError, Settings
from components.settings.stack_file import handed_over
from components.stack import next_step
from secretops.platforms.dotenv.location import DotenvStoreLocation as DotenvLocation
from tests.unit.broken_stack_files import base, unusual, unusual_names
from tests.unit.harness import ca_file
from tests.unit.stack_file import StackFile

IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"
GOOD = {"store": "{kind: dotenv}", "server": "{kind: local}", "broker": "{kind: coreflux, host: mqtt.example.com}"}
OPERATOR = "arn:aws:iam::123456789012:role/secrets-operator"
AWS_STORE = f"{{kind: aws, region: eu-central-1, account: '123456789012', operators: ['{OPERATOR}']}}"
SUBNETS, GROUP = "subnet-0123456789abcdef0, subnet-0123456789abcdef1", "sg-0123456789abcdef0"
OIDC = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"


def stack_file(**sections: str | None) -> StackFile:
    """Return the valid file with each of `sections` replaced, or removed if None."""
    lines = [
        f"  coreflux-mcp-secrets:{name}: {text}" for name, text in {**GOOD, **sections}.items() if text is not None
    ]
    return StackFile.read("\n".join(["config:", *lines]))


def problems(file: StackFile, stack: str = "dev") -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        file.parse(stack)
    return caught.value.problems


def broker(entry: str) -> str:
    return f"{{kind: coreflux, host: mqtt.example.com, {entry}}}"


def on_kubernetes(entry: str = "") -> dict[str, str]:
    return {"store": "{kind: kubernetes}", "server": f'{{kind: kubernetes, image: "{IMAGE}"{entry}}}'}


def on_aws(store: str = "", server: str = "") -> dict[str, str]:
    """Return the sections store and server of the AWS platform, with more entries in each."""
    network = f"subnets: [{SUBNETS}], security_groups: [{GROUP}]"
    return {
        "store": f"{AWS_STORE.removesuffix('}')}{store}}}",
        "server": f'{{kind: ecs, image: "{IMAGE}", {network}{server}}}',
    }


def operated_by(*operators: str) -> dict[str, str]:
    return on_aws() | {"store": AWS_STORE.replace(f"['{OPERATOR}']", str(list(operators)))}


@pytest.mark.parametrize(
    ("entry", "most"),
    [(f"role_path: /{'p/' * 256}", 512), (f"tags: {{{'k' * 129}: x}}", 128), (f"tags: {{k: {'v' * 257}}}", 256)],
)
def test_an_entry_longer_than_aws_takes_is_refused_with_the_limit(entry: str, most: int) -> None:
    (problem,) = problems(stack_file(**on_aws(f", {entry}")))
    assert f"at most {most} " in problem.rule


def in_govcloud() -> str:
    store = AWS_STORE.replace("arn:aws:", "arn:aws-us-gov:").replace("eu-central-1", "us-gov-west-1")
    return f"{store.removesuffix('}')}, alert_topic: 'arn:aws-us-gov:sns:us-gov-west-1:123456789012:alarms'}}"


def test_an_environment_by_the_stacks_name_can_be_corrected_there() -> None:
    (by_name,) = problems(stack_file(broker="{kind: embedded}"), "plant")
    (stated,) = problems(stack_file(environment="staging", broker="{kind: embedded}"), "dev")
    assert "stack's name" in by_name.what and by_name.remedy.endswith("environment: development")
    assert "stack's name" not in stated.what and "environment:" not in stated.remedy
    stack_file(environment="development", broker="{kind: embedded}").parse("plant")


@pytest.mark.parametrize(("sections", "good"), [(on_aws(), False), (on_kubernetes(), True)], ids=["task", "file"])
def test_large_ca_bundle_is_refused_in_a_task_definition(tmp_path: Path, sections: dict[str, str], good: bool) -> None:
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(ca_file(tmp_path).read_bytes() * 150)
    file = stack_file(**sections, broker=broker(f"ca_file: {bundle}"))
    if good:
        file.parse("prod")
    else:
        (problem,) = problems(file, "prod")
        assert problem.what.startswith("broker.ca_file: ") and "at most 49152" in problem.rule


def test_a_region_that_the_sdk_does_not_know_is_warned_of_and_goes_on() -> None:
    (one,) = warned_of(on_aws(", replicas: [sa-esat-1], alert_emails: [ops@example.com]"))
    assert "store.replicas: sa-esat-1" in one and "did you mean sa-east-1?" in one
    assert warned_of({"store": in_govcloud(), "server": on_aws()["server"]}) == []


def warned_of(sections: dict[str, str], stack: str = "prod") -> list[str]:
    settings = stack_file(**sections).parse(stack)
    return list(warnings(settings.environment, settings.store))


def test_production_is_warned_that_nobody_receives_its_alarms() -> None:
    for sections in ({name: json.dumps(section) for name, section in base("azure").items()}, on_aws()):
        assert [one.partition(":")[0] for one in warned_of(sections)] == ["store.alert_emails"]
    assert warned_of(on_aws(), "dev-trial") == warned_of(on_aws(", alert_emails: [ops@example.com]")) == []


def test_warning_reaches_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warned.append)
    file = stack_file(environment="staging", **on_aws() | {"store": AWS_STORE.replace("eu-central-1", "eu-wset-1")})
    before = dict(pulumi.runtime.config.CONFIG.get())
    pulumi.runtime.set_all_config({f"coreflux-mcp-secrets:{name}": text for name, text in file.entries.items()})
    try:
        Settings.load()
    finally:
        pulumi.runtime.set_all_config(before, [])
    (one,) = warned
    assert "did you mean eu-west-1?" in one


def test_more_operators_than_the_alarms_filter_takes_are_refused() -> None:
    def place(count: int, reader: str = "") -> str:
        store = operated_by(*(f"arn:aws:iam::123456789012:role/operator-{at}" for at in range(count)))
        sections = store | ({"server": f"{{kind: local, reader: '{reader}'}}"} if reader else {})
        (problem,) = problems(stack_file(**sections))
        return problem.what.partition(":")[0]

    assert place(20) == place(10, reader="arn:aws:iam::123456789012:role/developer") == "store.operators"


def test_a_server_elsewhere_has_the_ca_file_where_it_is_there() -> None:
    outside = stack_file(broker=broker("ca_file: /etc/ca.crt")).parse("dev").broker

    def variable(ca_file: str | None) -> str:
        return outside.args.public_variables(log_level="INFO", ca_file=ca_file)["MQTT_CA_CERT"]

    assert (variable(None), variable("/certs/ca.crt")) == ("/etc/ca.crt", "/certs/ca.crt")


def pem(label: str, body: str) -> str:
    """Return a PEM block. The label is joined here, because a scanner would report a whole block as a key."""
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"


def test_ca_bundle_has_only_the_certificates_of_a_file(tmp_path: Path) -> None:
    written = ca_file(tmp_path)
    one = written.read_text()
    key = pem("PRIVATE " + "KEY", "A" * 64)
    written.write_text(f"Bag Attributes\n{key}{one.replace('CERTIFICATE', 'X509 CERTIFICATE')}{key}{one}")
    assert ca_bundle(str(written)) == one + one


@pytest.mark.parametrize("wrong", ["...", "A" * 64])
def test_a_bundle_with_a_block_that_is_no_certificate_is_refused(tmp_path: Path, wrong: str) -> None:
    written = ca_file(tmp_path)
    written.write_text(written.read_text() + pem("CERTIFICATE", wrong))
    with pytest.raises(ValueError, match=r"\S"):
        ca_bundle(str(written))


def test_a_certificate_without_its_end_is_refused_and_not_read_on_into_what_follows(tmp_path: Path) -> None:
    written = ca_file(tmp_path)
    one = written.read_text()
    begun = one.partition("-----END")[0]
    for text in (begun, begun + one, begun + pem("PRIVATE " + "KEY", "A" * 64) + one):
        written.write_text(text)
        with pytest.raises(ValueError, match="incomplete"):
            ca_bundle(str(written))


def test_trailing_bytes_in_a_certificate_block_are_rejected(tmp_path: Path) -> None:
    written = ca_file(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(written.read_text())
    written.write_text(ssl.DER_cert_to_PEM_cert(der + b"\x30\x89" + b"more" * 8))
    with pytest.raises(ValueError, match=r"\S"):
        ca_bundle(str(written))


def test_a_refusal_is_a_run_error_so_that_the_engine_shows_no_traceback() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        stack_file(broker=None, log_level="LOUD").parse("dev")
    assert str(caught.value).startswith("Pulumi.dev.yaml has 2 errors; nothing was changed:")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", unusual_names())
def test_an_unusual_stack_file_is_accepted(name: str, tmp_path: Path) -> None:
    row, expected = unusual(name.replace("/etc/ssl/certs/ca.crt", str(ca_file(tmp_path))))
    settings = row.parse()
    settings.broker.args.location()  # the manifest accepts it too
    for key, value in expected.items():
        found: Any = settings
        for part in key.split("."):
            found = found[int(part)] if part.isdigit() else getattr(found, part)
        assert found == value


SHIPPED = sorted(
    [*PROJECT_FOLDER.glob("Pulumi.*.yaml"), *(PROJECT_FOLDER / "examples").glob("Pulumi.*.yaml")],
    key=lambda path: path.name,
)


def shipped(stack: str) -> StackFile:
    return StackFile.read((PROJECT_FOLDER / f"Pulumi.{stack}.yaml").read_text())


def test_the_dev_stack_is_a_folder_a_local_server_and_the_embedded_broker() -> None:
    settings = shipped("dev").parse("dev")
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.store == DotenvStore(kind="dotenv", root=".coreflux-mcp", deliver="variables")
    assert settings.server.kind == "local"
    assert settings.broker == EmbeddedBroker(kind="embedded", port=1883)
    assert settings.log_level == "DEBUG"
    assert {secret.name: secret.cadence_days for secret in settings.secrets} == {
        "broker-admin": 90,
        "mqtt": 90,
        "agent-key": 180,
    }
    assert next_step(settings) == "secretops broker start, then secretops tick, then secretops status"


@pytest.mark.real
def test_git_ignores_the_files_of_make_up_in_dev() -> None:
    store = shipped("dev").parse("dev").store
    assert isinstance(store, DotenvStore)
    folders = [store.root, str(LocalServer(kind="local").entry_folder.relative_to(PROJECT_FOLDER))]
    command = ["git", "-C", str(PROJECT_FOLDER), "check-ignore", *(f"{folder}/any" for folder in folders)]
    ignored = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ignored.split() == [f"{folder}/any" for folder in folders]


@pytest.mark.parametrize(
    "path", [path for path in SHIPPED if path.name != "Pulumi.dev.yaml"], ids=lambda path: path.name
)
def test_a_shipped_stack_file_is_good_but_for_a_file_that_is_your_own(path: Path) -> None:
    found = problems(StackFile.read(path.read_text()), path.name.split(".")[1])
    assert {problem.what.partition(": ")[0] for problem in found} <= {"broker.ca_file", "store.ca_file"}


def test_there_is_a_shipped_stack_file_of_each_pair() -> None:
    def pair(path: Path) -> tuple[str, str]:
        entries = StackFile.read(path.read_text()).entries
        return json.loads(entries["store"])["kind"], json.loads(entries["server"])["kind"]

    assert {pair(path) for path in SHIPPED} == set(deployable_pairs())


def test_missing_entry_has_the_guides_default() -> None:
    settings = stack_file().parse("prod")
    assert settings.rotation == Rotation(mqtt_days=90, broker_admin_days=90, agent_key_days=180, grace_seconds=3600)
    assert isinstance(settings.broker, OutsideBroker)
    assert settings.broker.tls
    assert settings.broker.listening_port == 8883
    assert settings.broker.protocol.value == "5"
    assert not settings.broker.client_certificate
    assert re.match(r"secretops import [^,]+, then secretops put broker-admin", next_step(settings))


@pytest.mark.parametrize(("pair", "changes", "replicas"), [
    ("aws-local", {}, None), ("azure", {}, 1), ("kubernetes", {}, 2), ("aws-ecs", {"replicas": 5}, 5),
    ("swarm", {"replicas": 1}, 1),
])  # fmt: skip
def test_manifest_has_the_number_of_reporting_servers(pair: str, changes: dict[str, int], replicas: int | None) -> None:
    """A rotation waits for this number of reports before it retires the previous user."""
    sections = base(pair)
    sections["server"] |= changes
    settings = Settings.parse("prod", {name: handed_over(entry) for name, entry in sections.items()})
    made = SecretStoreArgs(**settings.store_args).manifest(
        store=DotenvLocation(root="/nowhere/store"), broker=settings.broker.args.location()
    )
    assert (made.replicas, made.stack, made.grace_seconds) == (replicas, "prod", 3600)


@pytest.mark.parametrize(
    ("stack", "environment", "level"),
    [("dev-alice", "development", "DEBUG"), ("stage.eu", "staging", "INFO"), ("plant-7", "production", "WARNING")],
)
def test_stack_name_gives_the_environment_or_the_strictest(stack: str, environment: str, level: str) -> None:
    settings = stack_file().parse(stack)
    assert (settings.environment, settings.log_level) == (environment, level)


def test_the_program_reads_the_engines_configuration_of_its_own_project(tmp_path: Path) -> None:
    file = stack_file(log_level="ERROR")
    configuration = {f"coreflux-mcp-secrets:{name}": text for name, text in file.entries.items()} | {
        "aws:region": "eu-west-1"
    }
    before = dict(pulumi.runtime.config.CONFIG.get())
    pulumi.runtime.set_all_config(configuration)
    try:
        assert Settings.load().log_level == "ERROR"
        pulumi.runtime.set_all_config(configuration, ["coreflux-mcp-secrets:broker"])
        with pytest.raises(ConfigurationError, match=r"broker: .*secure:.* \[secret-value\]"):
            Settings.load()
    finally:
        pulumi.runtime.set_all_config(before, [])
