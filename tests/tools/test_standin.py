"""The stand-in for a cloud's provider: what it refuses and lets pass, and a small program on it by the real CLI."""

from __future__ import annotations

import copy
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import yaml
from pulumi.runtime.proto import provider_pb2

from tests.real.azure import Azure
from tests.real.moto import REGION, Aws
from tests.stacks.prod import OF_CLOUDS
from tests.tools import standin_azure_inputs as azure_inputs
from tests.tools.standin_inputs import (
    ALARM,
    AS_RIGHT,
    BUCKET,
    FUNCTION,
    GONE,
    KEY,
    LOCK,
    QUEUE,
    RIGHT,
    ROLE_POLICY,
    ROTATION,
    SCHEDULE,
    STORED,
    STORED_POLICY,
    TASK,
    TRAIL,
    WRONG,
)
from tests.unit import aws_stack, azure_stack
from tests.unit.harness import ca_file
from tools import clone
from tools.key_vault.management import Management
from tools.standin import choice, wire
from tools.standin.aws import credentials, identities
from tools.standin.aws.moto import Moto
from tools.standin.aws.provider import Aws as StandinAws
from tools.standin.azure import credentials as azure_credentials
from tools.standin.azure.emulator import VARIABLE, Emulator
from tools.standin.azure.identities import client_id, object_id
from tools.standin.azure.provider import Azure as StandinAzure
from tools.standin.cloud import RefusedError
from tools.standin.plugin import Standin
from tools.steps import SetupError

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"


class AbortedError(Exception):
    """What grpc's context does with a refusal."""


class Context:
    """A call that ends as grpc's does."""

    def abort(self, code: Any, text: str) -> None:
        raise AbortedError(code, text)


EVERY_RIGHT = {**RIGHT, **azure_inputs.RIGHT}
EVERY_WRONG = [*WRONG, *azure_inputs.WRONG]
SUBSCRIPTION = {"subscriptionId": azure_inputs.SUBSCRIPTION}


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Standin]:
    """By package, configured as Pulumi does it, without credentials, moto, emulator or engine."""
    for name in [*os.environ]:
        if name.startswith(OF_CLOUDS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "nobody"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))  # where Vault's own command leaves a token
    made = {"aws": Standin(StandinAws("7.51.1")), "azure-native": Standin(StandinAzure("3.29.0"))}
    for package, given in (("aws", {"region": REGION}), ("azure-native", SUBSCRIPTION)):
        made[package].Configure(provider_pb2.ConfigureRequest(args=wire.struct(given)), Context())
    return made


@pytest.fixture
def standin(standins: Mapping[str, Standin]) -> Standin:
    """AWS'."""
    return standins["aws"]


def of(standins: Mapping[str, Standin], token: str) -> Standin:
    """Whose type it is."""
    return standins[token.partition(":")[0]]


def urn(token: str, name: str = "it") -> str:
    return f"urn:pulumi:prod::tiny::{token}::{name}"


def check(standin: Standin, token: str, inputs: Mapping[str, Any], **olds: object) -> Any:
    request = provider_pb2.CheckRequest(
        urn=urn(token), news=wire.struct(inputs), olds=wire.struct(olds), randomSeed=os.urandom(16)
    )
    return standin.Check(request, Context())


def reasons(answer: Any) -> list[str]:
    return [failure.reason for failure in answer.failures]


@pytest.mark.parametrize("token", EVERY_RIGHT)
def test_what_is_right_passes(token: str, standins: Mapping[str, Standin]) -> None:
    assert reasons(check(of(standins, token), token, EVERY_RIGHT[token])) == []


@pytest.mark.parametrize(("token", "name", "value"), [*AS_RIGHT, *azure_inputs.AS_RIGHT])
def test_what_is_right_in_another_way_passes(
    token: str, name: str, value: object, standins: Mapping[str, Standin]
) -> None:
    given = json.dumps(value) if name == "containerDefinitions" else value
    assert reasons(check(of(standins, token), token, {**EVERY_RIGHT[token], name: given})) == []


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        (FUNCTION, {"code": GONE, "s3Bucket": "packages", "s3Key": "lambda.zip"}),
        (FUNCTION, {"code": GONE, "handler": GONE, "runtime": GONE, "packageType": "Image", "imageUri": "example:1"}),
        (ALARM, {"period": 3600, "evaluationPeriods": 168}),
        (ALARM, {"threshold": GONE, "thresholdMetricId": "a"}),
        (ALARM, {"statistic": GONE, "extendedStatistic": "p99"}),
        (TRAIL, {"cloudWatchLogsGroupArn": GONE, "cloudWatchLogsRoleArn": GONE}),
        (TASK, {"executionRoleArn": GONE, "containerDefinitions": json.dumps([{"name": "a", "image": "b"}])}),
        (TASK, {"requiresCompatibilities": ["EC2"], "networkMode": "bridge", "cpu": GONE, "memory": "300"}),
        (STORED, {"name": GONE, "namePrefix": "prod-"}),
    ],
)
def test_what_needs_another_passes_with_it(token: str, inputs: dict[str, Any], standin: Standin) -> None:
    given = {name: value for name, value in {**RIGHT[token], **inputs}.items() if value is not GONE}
    assert reasons(check(standin, token, given)) == []


def test_what_the_shipped_programs_ask_for_passes(standins: Mapping[str, Standin], tmp_path: Path) -> None:
    """By mocks, which know every id: what a preview leaves open is checked, too."""
    seen = set()
    for stacks in (aws_stack, azure_stack):
        least = stacks.shipped(ca_file(tmp_path))
        for deployed in (least, stacks.with_every_option(), stacks.for_pods(), stacks.for_this_machine()):
            for name, asked in deployed.resources.items():
                if asked.type.partition(":")[0] in standins:
                    assert reasons(check(of(standins, asked.type), asked.type, asked.inputs)) == [], name
                    seen.add(asked.type)
    assert {ROLE_POLICY, STORED_POLICY, KEY, ROTATION, FUNCTION, ALARM, SCHEDULE, TRAIL, TASK} <= seen
    assert azure_inputs.RIGHT.keys() <= seen


@pytest.mark.parametrize(
    ("token", "name", "value", "at"), [row[1:] for row in EVERY_WRONG], ids=[row[0] for row in EVERY_WRONG]
)
def test_what_is_wrong_is_refused_where_it_is(
    token: str, name: str, value: object, at: str, standins: Mapping[str, Standin]
) -> None:
    inputs = copy.deepcopy(EVERY_RIGHT[token])
    inputs.pop(name, None)
    if value is not GONE:
        inputs[name] = json.dumps(value) if name == "containerDefinitions" else value
    answer = check(of(standins, token), token, inputs)
    told = reasons(answer)
    assert any(reason.startswith(f"{at}: ") for reason in told), told
    assert name in {failure.property for failure in answer.failures} | {at.partition(".")[0]}
    for reason in told:
        what, rule, remedy = reason.split("; ", 2)
        assert what and rule and remedy


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("automatically_after_day", "automatically_after_days"),
        ("automaticallyAfterDay", "automaticallyAfterDays"),
        ("automatically_after_days", "automaticallyAfterDays"),  # the SDK would have sent the right one in this form
    ],
)
def test_the_key_that_was_meant_is_named_in_the_form_of_the_wrong_one(wrong: str, right: str, standin: Standin) -> None:
    told = reasons(check(standin, ROTATION, {**RIGHT[ROTATION], "rotationRules": {wrong: 90}}))
    assert any(reason.endswith(f"; did you mean {right}?") for reason in told), told


def test_a_value_that_is_secret_stays_out_of_the_refusal(standin: Standin) -> None:
    value = os.urandom(12).hex()
    hidden = {wire.SIGNATURE: wire.SECRET, "value": value}
    for token, inputs in (
        (QUEUE, {"delaySeconds": hidden}),
        (STORED, {"tags": {"a": hidden}, "replicas": hidden}),
        (LOCK, {**RIGHT[LOCK], "rule": {"defaultRetention": {"mode": hidden, "days": 1, "years": 1}}}),
    ):
        told = reasons(check(standin, token, {**inputs}))
        assert told
        assert all(value not in one and "<hidden>" in one for one in told), told


@pytest.mark.parametrize("word", sorted(wire.UNKNOWNS))
def test_what_a_preview_cannot_know_passes_whatever_its_type(word: str, standins: Mapping[str, Standin]) -> None:
    for token, right in EVERY_RIGHT.items():
        assert reasons(check(of(standins, token), token, dict.fromkeys(right, word))) == []


def test_a_name_is_made_once_and_kept(standin: Standin) -> None:
    first = wire.inputs(check(standin, QUEUE, {}).inputs)["name"]
    assert first.startswith("it-")
    again = wire.inputs(check(standin, QUEUE, {}, name=first, __defaults=["name"]).inputs)["name"]
    assert again == first
    given = wire.inputs(check(standin, QUEUE, {"name": "mine"}, name=first, __defaults=["name"]).inputs)["name"]
    assert given == "mine"


def diff(standin: Standin, token: str, olds: Mapping[str, Any], news: Mapping[str, Any]) -> Any:
    request = provider_pb2.DiffRequest(urn=urn(token), old_inputs=wire.struct(olds), news=wire.struct(news))
    return standin.Diff(request, Context())


def test_a_change_of_what_a_thing_is_called_or_belongs_to_makes_a_new_one(standin: Standin) -> None:
    same = diff(standin, STORED, {"name": "a"}, {"name": "a"})
    assert same.changes == same.DIFF_NONE
    renamed = diff(standin, STORED, {"name": "a", "description": "x"}, {"name": "b", "description": "y"})
    assert list(renamed.replaces) == ["name"]
    assert list(renamed.diffs) == ["description", "name"]
    moved = diff(standin, ROTATION, {"secretId": "a", "rotateImmediately": True}, {"secretId": wire.UNKNOWN})
    assert list(moved.replaces) == ["secretId"]
    assert list(diff(standin, TASK, {"family": "a", "cpu": "256"}, {"family": "a", "cpu": "512"}).replaces) == ["cpu"]
    assert not diff(standin, TASK, {"tags": {}}, {"tags": {"a": "b"}}).replaces


def test_azure_moves_nothing_and_changes_nobodys_role(standins: Mapping[str, Standin]) -> None:
    azure, vault = standins["azure-native"], azure_inputs.RIGHT[azure_inputs.VAULT]
    renamed = diff(azure, azure_inputs.VAULT, vault, {**vault, "vaultName": "another", "properties": {}})
    assert list(renamed.replaces) == ["vaultName"]
    assert list(diff(azure, azure_inputs.VAULT, vault, {**vault, "location": "northeurope"}).replaces) == ["location"]
    role = azure_inputs.RIGHT[azure_inputs.ASSIGNMENT]
    changed = {**role, "principalId": azure_inputs.SUBSCRIPTION, "description": "a"}
    assert list(diff(azure, azure_inputs.ASSIGNMENT, role, changed).replaces) == ["principalId"]


def test_azure_keeps_how_long_a_deleted_vault_is_kept_but_of_a_new_one(
    standins: Mapping[str, Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, "up")
    azure, vault = standins["azure-native"], azure_inputs.RIGHT[azure_inputs.VAULT]
    longer = {**vault, "properties": {**vault["properties"], "softDeleteRetentionInDays": 90}}
    shorter = {**vault, "properties": {**vault["properties"], "softDeleteRetentionInDays": 7}}
    open_ = {**shorter, "properties": {**shorter["properties"], "publicNetworkAccess": "Enabled"}}

    def changed(news: Mapping[str, Any]) -> Any:
        request = provider_pb2.UpdateRequest(
            urn=urn(azure_inputs.VAULT), id="a", old_inputs=wire.struct(shorter), news=wire.struct(news)
        )
        return azure.Update(request, Context())

    with pytest.raises(AbortedError, match=r"softDeleteRetentionInDays: 90; .* stays 7 .* another generation"):
        changed(longer)
    assert changed(open_).properties.fields


def test_azure_answers_identities_as_a_map_and_a_vault_with_its_address(
    standins: Mapping[str, Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, "up")
    azure, who = standins["azure-native"], azure_inputs.WHO

    def made(token: str, preview: bool = False, **changed: object) -> dict[str, Any]:
        given = wire.struct({**azure_inputs.RIGHT[token], **changed})
        request = provider_pb2.CreateRequest(urn=urn(token), properties=given, preview=preview)
        return wire.plain_struct(azure.Create(request, Context()).properties)

    identity = made(azure_inputs.IDENTITY)
    assert (identity["principalId"], identity["clientId"]) == (object_id(who), client_id(who))
    answered = {who: {"principalId": object_id(who), "clientId": client_id(who)}}
    assert made(azure_inputs.JOB)["identity"]["userAssignedIdentities"] == answered
    open_ = {**azure_inputs.AS_WHO, "userAssignedIdentities": [wire.UNKNOWN]}
    assert made(azure_inputs.JOB, True, identity=open_)["identity"]["userAssignedIdentities"] == wire.UNKNOWN
    assert made(azure_inputs.VAULT, True)["properties"]["vaultUri"] == "https://plant-prod.vault.azure.net/"
    topic = made(azure_inputs.TOPIC, True, identity={"type": "SystemAssigned"})
    assert topic["identity"]["principalId"] not in ("", object_id(who)), "it has an identity of its own"
    assert made(azure_inputs.WORKSPACE)["customerId"] == made(azure_inputs.WORKSPACE)["customerId"] != ""
    update = provider_pb2.UpdateRequest(
        urn=urn(azure_inputs.JOB), id="a", olds=wire.struct({"name": "plant-rotator"}),
        news=wire.struct(azure_inputs.RIGHT[azure_inputs.JOB]), preview=True,
    )  # fmt: skip
    kept = wire.plain_struct(azure.Update(update, Context()).properties)
    assert (kept["name"], kept["identity"]["userAssignedIdentities"]) == ("plant-rotator", answered)


def test_what_is_secret_in_an_input_is_secret_in_what_is_answered(
    standins: Mapping[str, Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, "up")
    tenant = {wire.SIGNATURE: wire.SECRET, "value": azure_inputs.SUBSCRIPTION}
    given = {**azure_inputs.RIGHT[azure_inputs.VAULT], "properties": {**azure_inputs.PROPERTIES, "tenantId": tenant}}
    request = provider_pb2.CreateRequest(urn=urn(azure_inputs.VAULT), properties=wire.struct(given))
    made = standins["azure-native"].Create(request, Context())
    assert wire.secret_paths(made.properties) == ["properties"]


def test_azure_wants_a_subscription_and_no_credentials(
    standins: Mapping[str, Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    azure = standins["azure-native"]
    with pytest.raises(AbortedError, match="subscriptionId: missing"):
        azure.Configure(provider_pb2.ConfigureRequest(), Context())
    wrong = {**SUBSCRIPTION, "subscription": "a"}
    told = reasons(azure.CheckConfig(provider_pb2.CheckRequest(news=wire.struct(wrong)), Context()))
    assert [reason.partition(":")[0] for reason in told] == ["subscription"]
    monkeypatch.setenv("ARM_CLIENT_SECRET", "a")
    with pytest.raises(AbortedError, match="credentials"):
        azure.Configure(provider_pb2.ConfigureRequest(args=wire.struct(SUBSCRIPTION)), Context())


@pytest.mark.parametrize("url", ["https://plant.vault.azure.net", "http://192.0.2.1:5000", "nonsense"])
def test_vaults_are_made_on_this_machine_or_not_at_all(url: str) -> None:
    with pytest.raises(RefusedError, match="this machine"):
        Emulator(url)


def test_a_secret_of_the_same_value_is_no_change(standin: Standin) -> None:
    secret = {wire.SIGNATURE: wire.SECRET, "value": "a"}
    assert not diff(standin, STORED, {"description": "a"}, {"description": secret}).diffs


def test_a_preview_leaves_open_what_aws_computes(standin: Standin) -> None:
    request = provider_pb2.CreateRequest(urn=urn(STORED), properties=wire.struct({"name": "a"}), preview=True)
    made = standin.Create(request, Context())
    outputs = wire.plain_struct(made.properties)
    assert (made.id, outputs["name"], outputs["arn"]) == ("", "a", wire.UNKNOWN)


def test_without_leave_nothing_is_created_changed_or_deleted(standin: Standin) -> None:
    calls = {
        "Create": provider_pb2.CreateRequest(urn=urn(STORED), properties=wire.struct({"name": "a"})),
        "Update": provider_pb2.UpdateRequest(urn=urn(STORED), id="a", news=wire.struct({"name": "a"})),
        "Delete": provider_pb2.DeleteRequest(urn=urn(STORED), id="a"),
    }
    for name, request in calls.items():
        with pytest.raises(AbortedError, match="deploys nothing"):
            getattr(standin, name)(request, Context())


def test_every_type_gets_an_identity_that_no_account_has(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "up")
    for token, right in RIGHT.items():
        named = check(standin, token, right).inputs
        made = standin.Create(provider_pb2.CreateRequest(urn=urn(token), properties=named), Context())
        outputs = wire.plain_struct(made.properties)
        assert made.id, token
        if token != BUCKET and "arn" in outputs:  # a bucket's ARN names no account
            assert identities.ACCOUNT in outputs["arn"], token
        if "tagsAll" in outputs:
            assert outputs["tagsAll"] == right.get("tags", {}), token


def test_it_refuses_to_run_where_there_are_credentials(standin: Standin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    request = provider_pb2.ConfigureRequest(args=wire.struct({"region": REGION}))
    with pytest.raises(AbortedError, match="credentials"):
        standin.Configure(request, Context())
    monkeypatch.setenv(choice.VARIABLE, "preview")
    standin.Configure(request, Context())


def test_it_wants_a_region_and_knows_its_own_configuration(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="region"):
        standin.Configure(provider_pb2.ConfigureRequest(), Context())
    wrong = {"region": REGION, "profil": "me", "skipRegionValidation": '"yes"', "defaultTags": '{"tag": {}}'}
    told = reasons(standin.CheckConfig(provider_pb2.CheckRequest(news=wire.struct(wrong)), Context()))
    assert [reason.partition(":")[0] for reason in told] == ["defaultTags.tag", "profil", "skipRegionValidation"]


@pytest.mark.parametrize("url", ["https://secretsmanager.eu-west-1.amazonaws.com", "http://192.0.2.1:5000", "nonsense"])
def test_secrets_are_made_on_this_machine_or_not_at_all(url: str) -> None:
    with pytest.raises(RefusedError, match="this machine"):
        Moto(url)


def test_a_function_or_type_that_it_does_not_know_is_said(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="getAmi"):
        standin.Invoke(provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi"), Context())
    with pytest.raises(AbortedError) as refused:
        check(standin, "aws:secretsmanager/secret:Secrets", {})
    assert refused.value.args[0] is grpc.StatusCode.UNIMPLEMENTED


def test_where_one_is_can_be_asked(standin: Standin) -> None:
    def asked(token: str, **arguments: object) -> dict[str, Any]:
        request = provider_pb2.InvokeRequest(tok=token, args=wire.struct(arguments))
        return wire.inputs(getattr(standin.Invoke(request, Context()), "return"))

    assert asked("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == identities.ACCOUNT
    assert asked("aws:index/getRegion:getRegion")["region"] == REGION
    assert asked("aws:index/getRegion:getRegion", region="us-east-1")["region"] == "us-east-1"
    assert asked("aws:index/getPartition:getPartition")["partition"] == "aws"


@pytest.mark.parametrize(
    ("said", "found", "standin", "may_deploy"),
    [
        ("", "", True, False),
        ("", "env", False, True),
        ("preview", "env", True, False),
        ("up", "", True, True),
        ("never", "", False, True),
    ],
)
def test_credentials_and_the_variable_choose_the_provider(
    said: str, found: str, standin: bool, may_deploy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, said)
    chosen = choice.choose(found)
    assert (chosen.standin, chosen.may_deploy) == (standin, may_deploy)


def test_a_word_that_the_variable_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "yes")
    with pytest.raises(choice.UnknownModeError, match="preview, up, never"):
        choice.choose("")


CREDENTIALS = {
    "aws": {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    "azure": {"ARM_CLIENT_ID": "a", "ARM_CLIENT_SECRET": "b"},
    "vault": {"VAULT_TOKEN": "a"},
}
FROM = {"aws": "env", "azure": "ARM_CLIENT_SECRET", "vault": "VAULT_TOKEN"}


@dataclass
class SetUp:
    """`provide_cloud` on a folder of tools of its own."""

    tools: Path

    def laid(self, kind: str) -> bool:
        return (self.tools / f"bin/pulumi-resource-{clone.CLOUDS[kind].package}").exists()


@pytest.fixture
def set_up(standins: Mapping[str, Standin], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetUp:
    monkeypatch.setattr(clone, "TOOLS", tmp_path)
    monkeypatch.setattr(clone, "_built", lambda _: False)  # the official CLI fetches providers by itself
    return SetUp(tmp_path)


@pytest.mark.parametrize("kind", clone.CLOUDS)
def test_set_up_says_which_provider_a_stack_runs_on_and_lays_the_stand_in_only_then(
    kind: str, set_up: SetUp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = clone.CLOUDS[kind].name
    clone.provide_cloud(kind, "prod", deploys=False)
    assert set_up.laid(kind)
    assert f"STAND-IN for {name}: no credentials" in capsys.readouterr().out
    for variable, text in CREDENTIALS[kind].items():
        monkeypatch.setenv(variable, text)
    clone.provide_cloud(kind, "prod", deploys=True)
    assert not set_up.laid(kind)
    said = capsys.readouterr().out
    assert f"Pulumi's own {name} provider" in said and f"credentials from {FROM[kind]}" in said


@pytest.mark.parametrize("kind", clone.CLOUDS)
def test_make_up_is_refused_on_the_stand_in_unless_the_variable_says_so(
    kind: str, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SetupError, match="deploys nothing"):
        clone.provide_cloud(kind, "prod", deploys=True)
    assert not set_up.laid(kind)
    monkeypatch.setenv(choice.VARIABLE, "up")
    clone.provide_cloud(kind, "prod", deploys=True)
    assert set_up.laid(kind)


def test_only_a_stack_of_a_cloud_asks_for_it() -> None:
    assert clone.asks_for("aws", "prod")
    assert not clone.asks_for("azure", "prod")
    assert not clone.asks_for("aws", "dev")
    assert not clone.asks_for("aws", "of-nobody")


def test_a_stack_file_of_azure_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.plant.yaml").write_text(azure_stack.SHIPPED.read_text())
    assert clone.asks_for("azure", "plant", root=tmp_path)
    assert not clone.asks_for("aws", "plant", root=tmp_path)


def test_a_way_of_pulumis_provider_for_azure_is_credentials_once_it_is_turned_on(tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path), "ARM_CLIENT_ID": "a", "ARM_OIDC_TOKEN": "b", "ARM_USE_MSI": "false"}
    of_other_sdks = {"AZURE_CLIENT_SECRET": "a", "AZURE_FEDERATED_TOKEN_FILE": "/token"}
    assert azure_credentials.source(nobody | of_other_sdks) == ""
    for switch in ("ARM_USE_DEFAULT_AZURE_CREDENTIAL", "ARM_USE_OIDC", "ARM_USE_MSI"):
        assert azure_credentials.source({**nobody, switch: "true"}) == switch
        assert azure_credentials.source({**nobody, switch: "1"}) == "", "the provider takes no other word"
    assert azure_credentials.source({**nobody, "ARM_CLIENT_CERTIFICATE_PATH": "/pfx"}) == "ARM_CLIENT_CERTIFICATE_PATH"


@pytest.mark.parametrize(
    ("subscriptions", "found"),
    [
        ([], ""),
        ([{"id": "a", "user": {"type": "servicePrincipal"}}], ""),
        ([{"id": "a", "user": {"type": "user"}}], "az login"),
        ([{"id": "a"}], "az login"),
    ],
    ids=["somebody has logged out", "by a service principal no provider works", "a user", "who does not say"],
)
def test_a_users_login_of_azures_cli_is_credentials(
    subscriptions: list[dict[str, Any]], found: str, tmp_path: Path
) -> None:
    assert azure_credentials.source({"HOME": str(tmp_path)}) == ""
    profile = tmp_path / ".azure" / "azureProfile.json"
    profile.parent.mkdir()
    profile.write_text(json.dumps({"subscriptions": subscriptions}), encoding="utf-8-sig")
    assert azure_credentials.source({"HOME": str(tmp_path)}) == found


def test_a_role_of_a_container_and_a_profile_that_is_not_there_are_credentials(
    standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert credentials.source() == ""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in credentials.source()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")
    assert credentials.source() == "container-role"


PROGRAM = """
import json, pulumi, pulumi_aws as aws
config = pulumi.Config()
key = aws.kms.Key("key", enable_key_rotation=True, deletion_window_in_days=7)
aws.kms.Alias("alias", name="alias/tiny", target_key_id=key.key_id)
secret = aws.secretsmanager.Secret(
    "secret", kms_key_id=key.arn, recovery_window_in_days=0, description=config.get("description"))
trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}]}
read = lambda arn: json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}]})
role = aws.iam.Role("role", assume_role_policy=json.dumps(trust))
aws.iam.RolePolicy("policy", role=role.name, policy=secret.arn.apply(read))
aws.secretsmanager.SecretPolicy("guard", secret_arn=secret.arn, policy=pulumi.Output.all(secret.arn, role.arn).apply(
    lambda both: json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": both[0],
        "Principal": {"AWS": both[1]}, "Action": "secretsmanager:GetSecretValue"}]})))
queue = aws.sqs.Queue("queue", message_retention_seconds=config.get_int("retention") or 60)
pulumi.export("secret", secret.arn)
pulumi.export("role", role.name)
pulumi.export("key", key.key_id)
pulumi.export("account", aws.get_caller_identity().account_id)
"""


PLANTED: dict[str, tuple[str, str]] = {
    # what is wrong, the resource that it is in, where it is told
    "a nested unknown key": (
        """SecretRotation("it", secret_id="a", rotation_rules={"automatically_after_day": 90})""",
        "rotationRules.automatically_after_day",
    ),
    "an unknown key in a text of JSON": (
        """TaskDefinition("it", family="a", container_definitions='[{"name": "a", "image": "b", "secret": []}]')""",
        "containerDefinitions[0].secret",
    ),
    "a missing nested argument": (
        """Listener("it", load_balancer_arn="a", default_actions=[{"target_group_arn": "b"}])""",
        "defaultActions[0].type",
    ),
    "an enum's member that is none": (
        """TaskDefinition("it", family="a", requires_compatibilities=["fargate"], container_definitions="[]")""",
        "requiresCompatibilities[0]",
    ),
    "a number as text": ("""Secret("it", recovery_window_in_days="30")""", "recoveryWindowInDays"),
    "a number out of its range": ("""Secret("it", recovery_window_in_days=3)""", "recoveryWindowInDays"),
}
"""One of each sort of WRONG, as a program would have it: the SDK lets it pass."""


@dataclass
class Tiny:
    """A project of one file, on the stand-in, by the real CLI."""

    home: Path
    leads: Mapping[str, str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith(OF_CLOUDS)}
        return subprocess.run(
            [str(BIN / "pulumi"), *arguments, "--non-interactive"],
            cwd=self.home / "project",
            env={
                **kept,
                "PATH": f"{self.home / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(self.home),
                "PULUMI_BACKEND_URL": f"file://{self.home / 'state'}",
                "PULUMI_HOME": str(self.home / "pulumi"),
                "PULUMI_CONFIG_PASSPHRASE": "",
                "AWS_REGION": REGION,
                "NO_COLOR": "1",
                **self.leads,
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def did(self, *arguments: str, **environment: str) -> str:
        done = self.run(*arguments, **{"STANDIN": "up", **environment})
        assert done.returncode == 0, done.stdout
        return done.stdout

    def refuses(self, what: str, program: str, *places: str) -> None:
        """Fails the test unless a preview of that program says what is wrong at each of the places."""
        (self.home / "project" / "__main__.py").write_text(program)
        done = self.run("preview")
        assert done.returncode != 0, what
        for at in places:
            assert f" has a problem: {at}: " in done.stdout, f"{what}: {at}\n{done.stdout}"

    def configure(self, **entries: object) -> None:
        file = self.home / "project" / "Pulumi.test.yaml"
        kept = yaml.safe_load(file.read_text()) if file.exists() else {}
        file.write_text(yaml.safe_dump({**kept, "config": {f"tiny:{name}": entry for name, entry in entries.items()}}))

    def outputs(self) -> dict[str, str]:
        done: dict[str, str] = json.loads(self.did("stack", "output", "--json"))
        return done


def new_tiny(home: Path, kind: str, program: str, **leads: str) -> Tiny:
    if not (BIN / "pulumi").exists():
        pytest.fail("there is no pulumi in the environment: make setup")
    cloud = clone.CLOUDS[kind]
    choice.lay(home / "bin", cloud.package, cloud.version, clone=ROOT, python=BIN / "python")
    project = home / "project"
    project.mkdir()
    (home / "state").mkdir()
    about = {"name": "tiny", "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
    (project / "Pulumi.yaml").write_text(json.dumps(about))
    (project / "__main__.py").write_text(program)
    made = Tiny(home, leads)
    made.did("stack", "init", "test")
    return made


@pytest.fixture
def tiny(tmp_path: Path, moto: Aws) -> Tiny:
    return new_tiny(tmp_path, "aws", PROGRAM, STANDIN_MOTO_URL=moto.url)


@pytest.mark.real
def test_a_program_goes_up_is_quiet_changes_and_is_destroyed_and_its_secrets_were_in_moto(
    tiny: Tiny, moto: Aws
) -> None:
    said = tiny.did("up", "--yes", "--skip-preview")
    assert "STAND-IN for aws" in said
    outputs = tiny.outputs()
    secrets, roles = moto.secrets_manager, moto.client("iam")
    about = secrets.describe_secret(SecretId=outputs["secret"])
    assert about["KmsKeyId"].endswith(f":{outputs['account']}:key/{outputs['key']}")
    assert "VersionIdsToStages" not in about, "no value is written"
    assert secrets.get_resource_policy(SecretId=outputs["secret"])["ResourcePolicy"]
    assert roles.list_role_policies(RoleName=outputs["role"])["PolicyNames"]

    said = tiny.did("preview", "--expect-no-changes", STANDIN="preview")
    assert said.partition("Diagnostics:")[2].count("STAND-IN") == 1

    tiny.configure(description="for the server")
    assert "1 updated" in tiny.did("up", "--yes", "--skip-preview")
    assert secrets.describe_secret(SecretId=outputs["secret"])["Description"] == "for the server"
    assert tiny.outputs() == outputs

    secrets.delete_secret(SecretId=outputs["secret"], ForceDeleteWithoutRecovery=True)
    assert "deleted" in tiny.did("refresh", "--yes", "--skip-preview")
    tiny.did("destroy", "--yes", "--skip-preview")
    assert outputs["role"] not in [one["RoleName"] for one in roles.list_roles()["Roles"]]
    key = moto.client("kms").describe_key(KeyId=outputs["key"])["KeyMetadata"]
    assert key["KeyState"] == "PendingDeletion"


@pytest.mark.real
def test_the_cli_shows_a_refusal_and_changes_nothing(tiny: Tiny) -> None:
    tiny.configure(retention=7)
    done = tiny.run("preview")
    assert done.returncode != 0
    assert "messageRetentionSeconds: 7; it has to be 60 to 1209600; stay within that" in done.stdout
    tiny.configure(retention=70)
    assert tiny.run("preview").returncode == 0, "a preview needs neither credentials nor leave"
    done = tiny.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert "deploys nothing" in done.stdout
    kept = json.loads(tiny.did("stack", "export"))["deployment"]["resources"]
    assert all(one["type"].startswith("pulumi:") for one in kept)
    assert tiny.run("destroy", "--yes", "--skip-preview").returncode == 0, "as the page says"
    assert "resources" not in json.loads(tiny.did("stack", "export"))["deployment"]


@pytest.mark.real
def test_what_is_planted_in_a_program_is_refused_where_it_is(tiny: Tiny) -> None:
    for what, (planted, at) in PLANTED.items():
        tiny.refuses(
            what,
            "from pulumi_aws.ecs import TaskDefinition\nfrom pulumi_aws.lb import Listener\n"
            f"from pulumi_aws.secretsmanager import Secret, SecretRotation\n{planted}\n",
            at,
        )


@pytest.mark.real
def test_all_that_is_planted_in_a_program_of_azure_is_refused_where_it_is(tmp_path: Path) -> None:
    tiny = new_tiny(tmp_path, "azure", azure_inputs.PROGRAM, ARM_SUBSCRIPTION_ID=azure_inputs.SUBSCRIPTION)
    for what, (program, places) in azure_inputs.PLANTED.items():
        tiny.refuses(what, program, *places)
    assert sum(len(places) for _, places in azure_inputs.PLANTED.values()) >= 20


@pytest.fixture
def management(azure: Azure) -> Iterator[Management]:
    made = Management(azure.vault)
    made.start()
    yield made
    made.stop()


@pytest.mark.real
def test_a_program_of_azure_goes_up_is_quiet_changes_and_is_destroyed_and_its_vault_was_in_the_emulator(
    tmp_path: Path, management: Management
) -> None:
    management.deleted.add("kv-tiny-held")
    tiny = new_tiny(tmp_path, "azure", azure_inputs.PROGRAM, **{VARIABLE: management.url})
    tiny.configure(vault="kv-tiny-held")
    refused = tiny.run("up", "--yes", "--skip-preview", STANDIN="up")
    assert refused.returncode != 0
    assert "already exists in deleted state" in refused.stdout
    for remedy in ("`generation`", "az keyvault recover -n kv-tiny-held", "az keyvault purge -n kv-tiny-held"):
        assert remedy in refused.stdout

    name = f"kv-tiny-{secrets.token_hex(4)}"
    tiny.configure(vault=name)
    assert "STAND-IN for azure-native" in tiny.did("up", "--yes", "--skip-preview")
    outputs, vault = tiny.outputs(), management.vaults[name]
    assert outputs["uri"] == f"{vault.url}/"
    assert outputs["name"].startswith("who-"), "a name is made where none is given"
    (reads,) = vault.access.assignments
    assert (reads.principal, reads.role.name, reads.secret) == (outputs["who"], "Key Vault Secrets User", "mqtt")
    assert vault.retention_days == 7
    tiny.did("preview", "--expect-no-changes", STANDIN="preview")

    tiny.configure(vault=name, again="1")
    refused = tiny.run("up", "--yes", "--skip-preview", STANDIN="up")
    assert refused.returncode != 0
    assert "RoleAssignmentExists" in refused.stdout
    assert "another resource assigns that role" in refused.stdout
    assert len(vault.access.assignments) == 1

    tiny.configure(vault=name, role="b86a8fe4-44ce-4948-aee5-eccb2c155cd7")
    assert "1 replaced" in tiny.did("up", "--yes", "--skip-preview")
    assert [one.role.name for one in vault.access.assignments] == ["Key Vault Secrets Officer"]
    assert tiny.outputs() == outputs
    (assigned,) = management.assigned
    management.delete(assigned)
    assert "deleted" in tiny.did("refresh", "--yes", "--skip-preview")
    tiny.did("destroy", "--yes", "--skip-preview")
    assert management.deleted == {"kv-tiny-held", name}
