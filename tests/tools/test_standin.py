"""The stand-in for a cloud's provider validates inputs, conceals secrets, and deploys only when allowed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from tests.stacks.prod import OF_CLOUDS
from tools import clone
from tools.standin import choice, wire
from tools.standin.cloud import RefusedError
from tools.standin.plugin import Standin
from tools.steps import SetupError

GUID = "11111111-2222-3333-4444-555555555555"
STORED = "aws:secretsmanager/secret:Secret"
QUEUE = "aws:sqs/queue:Queue"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
CONFIGURATION = {
    "aws": {"region": "eu-central-1"},
    "azure-native": {"subscriptionId": GUID},
    "vault": {"address": "https://vault.example.com:8200"},
}


class AbortedError(Exception):
    """Raised by Context.abort, as by grpc's context."""


class Context:
    def abort(self, code: Any, text: str) -> None:
        raise AbortedError(code, text)


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Standin]:
    from tools.standin.aws.provider import Aws
    from tools.standin.azure.provider import Azure
    from tools.standin.vault.provider import Vault

    for name in [*os.environ]:
        if name.startswith((*OF_CLOUDS, "BAO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "nobody"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))  # where Vault's own command stores a token
    made = {"aws": Standin(Aws("7.51.1")), "azure-native": Standin(Azure("3.29.0")), "vault": Standin(Vault("7.14.0"))}
    for package, config in CONFIGURATION.items():
        configure(made[package], config)
    return made


def configure(standin: Standin, config: Mapping[str, Any]) -> None:
    standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(config)), Context())


@pytest.fixture
def standin(standins: Mapping[str, Standin]) -> Standin:
    return standins["aws"]


def urn(token: str) -> str:
    return f"urn:pulumi:prod::tiny::{token}::it"


def check(standin: Standin, token: str, inputs: Mapping[str, Any]) -> Any:
    request = provider_pb2.CheckRequest(urn=urn(token), news=wire.struct(inputs), randomSeed=os.urandom(16))
    return standin.Check(request, Context())


def reasons(answer: Any) -> list[str]:
    return [failure.reason for failure in answer.failures]


def test_a_value_that_is_secret_stays_out_of_the_refusal(standin: Standin) -> None:
    value = os.urandom(12).hex()
    hidden = {wire.SIGNATURE: wire.SECRET, "value": value}
    for token, inputs in (
        (QUEUE, {"delaySeconds": hidden}),
        (STORED, {"tags": {"a": hidden}, "replicas": hidden}),
        (LOCK, {"bucket": "trail", "rule": {"defaultRetention": {"mode": hidden, "days": 1, "years": 1}}}),
    ):
        refusals = reasons(check(standin, token, {**inputs}))
        assert refusals
        assert all(value not in one and "<hidden>" in one for one in refusals), refusals


def test_without_leave_nothing_is_created_changed_or_deleted(standin: Standin) -> None:
    calls = {
        "Create": provider_pb2.CreateRequest(urn=urn(STORED), properties=wire.struct({"name": "a"})),
        "Update": provider_pb2.UpdateRequest(urn=urn(STORED), id="a", news=wire.struct({"name": "a"})),
        "Delete": provider_pb2.DeleteRequest(urn=urn(STORED), id="a"),
    }
    for name, request in calls.items():
        with pytest.raises(AbortedError, match="deploys nothing"):
            getattr(standin, name)(request, Context())


@pytest.mark.parametrize(("package", "credentials", "needed"), [
    ("aws", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "region"),
    ("azure-native", {"ARM_CLIENT_ID": "a", "ARM_CLIENT_SECRET": "b"}, "subscriptionId"),
    ("vault", {"VAULT_TOKEN": "a"}, "address"),
])  # fmt: skip
def test_it_refuses_to_run_with_credentials_or_without_its_configuration(
    package: str,
    credentials: dict[str, str],
    needed: str,
    standins: Mapping[str, Standin],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AbortedError, match=needed):
        configure(standins[package], {})
    for variable, text in credentials.items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(AbortedError, match=r"credentials|token"):
        configure(standins[package], CONFIGURATION[package])
    monkeypatch.setenv(choice.VARIABLE, "preview")
    configure(standins[package], CONFIGURATION[package])


@pytest.mark.parametrize("url", ["https://secretsmanager.eu-west-1.amazonaws.com", "http://192.0.2.1:5000", "nonsense"])
def test_it_deploys_only_into_an_emulator_of_this_machine(url: str) -> None:
    from tools.standin.aws.moto import Moto
    from tools.standin.azure.emulator import Emulator
    from tools.standin.vault.openbao import OpenBao

    for emulator in (Moto, Emulator, OpenBao):
        with pytest.raises(RefusedError, match="this machine"):
            emulator(url)


@pytest.mark.parametrize(("setting", "found", "standin", "may_deploy"), [
    *(("", "", True, False), ("", "env", False, True), ("preview", "env", True, False), ("up", "", True, True)),
    ("never", "", False, True),
])  # fmt: skip
def test_credentials_and_the_variable_choose_the_provider(
    setting: str, found: str, standin: bool, may_deploy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, setting)
    chosen = choice.choose(found)
    assert (chosen.standin, chosen.may_deploy) == (standin, may_deploy)


@pytest.mark.real
def test_set_up_installs_the_stand_in_only_without_credentials(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "bin/pulumi-resource-vault"
    monkeypatch.setattr(clone, "TOOLS", tmp_path)
    monkeypatch.setattr(clone, "_built", lambda _: False)  # the official CLI downloads providers by itself
    with pytest.raises(SetupError, match="deploys nothing"):
        clone.provide_cloud("vault", "prod", deploys=True)
    assert not plugin.exists()
    clone.provide_cloud("vault", "prod", deploys=False)
    assert plugin.exists() and "STAND-IN for Vault" in capsys.readouterr().out
    monkeypatch.setenv("VAULT_TOKEN", "a")
    clone.provide_cloud("vault", "prod", deploys=True)
    assert not plugin.exists()


def test_each_provider_finds_its_credentials(standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tools.standin.aws import credentials as aws
    from tools.standin.azure import credentials as azure
    from tools.standin.vault import credentials as vault

    nobody = {
        "HOME": str(tmp_path),
        "ARM_CLIENT_ID": "a",
        "ARM_OIDC_TOKEN": "b",
        "AZURE_CLIENT_SECRET": "of other SDKs",
    }
    assert azure.source(nobody) == vault.source(nobody) == aws.source() == ""
    for switch in ("ARM_USE_OIDC", "ARM_USE_MSI"):
        assert azure.source({**nobody, switch: "true"}) == switch
        assert azure.source({**nobody, switch: "1"}) == "", "the provider takes no other word"
    profile = tmp_path / ".azure" / "azureProfile.json"
    profile.parent.mkdir()
    for kind, found in (("servicePrincipal", ""), ("user", "az login")):
        subscriptions = [{"id": "a", "user": {"type": kind}}]
        profile.write_text(json.dumps({"subscriptions": subscriptions}), encoding="utf-8-sig")
        assert azure.source({"HOME": str(tmp_path)}) == found
    (tmp_path / ".vault-token").write_text("\n")
    assert vault.source(nobody) == ""
    (tmp_path / ".vault-token").write_text("made for this test")
    assert vault.source(nobody) == str(tmp_path / ".vault-token")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in aws.source()
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials")
    assert aws.source() == "container-role"
