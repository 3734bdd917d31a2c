"""The stand-in for a cloud's provider: it refuses wrong inputs, keeps secrets to itself, and deploys only with leave.

That what the program declares passes is shown where the shipped stacks are previewed on it: tests/stacks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from pulumi.runtime.proto import provider_pb2

from tests.stacks.prod import OF_CLOUDS
from tools import clone
from tools.standin import choice, wire
from tools.standin.cloud import RefusedError
from tools.standin.plugin import Standin
from tools.steps import SetupError

REGION = "eu-central-1"
GUID = "11111111-2222-3333-4444-555555555555"
STORED = "aws:secretsmanager/secret:Secret"
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
QUEUE = "aws:sqs/queue:Queue"
LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
VAULT = "azure-native:keyvault:Vault"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"
MOUNT = "vault:index/mount:Mount"
POLICY = "vault:index/policy:Policy"
ROOT_CERT = "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert"

ARN = f"arn:aws:{{}}:{REGION}:000000000000:{{}}"
READ = {
    "Effect": "Allow",
    "Action": "secretsmanager:GetSecretValue",
    "Resource": ARN.format("secretsmanager", "secret:a"),
}
SCOPE = f"/subscriptions/{GUID}/resourceGroups/plant/providers/Microsoft.KeyVault/vaults/plant"
READS = 'path "plant/data/mqtt" {\n  capabilities = ["read"]\n}\n'
PROPERTIES = {
    "tenantId": GUID,
    "sku": {"family": "A", "name": "standard"},
    "enableRbacAuthorization": True,
    "softDeleteRetentionInDays": 90,
}

RIGHT: dict[str, dict[str, Any]] = {
    STORED: {"name": "prod/mqtt", "recoveryWindowInDays": 30, "tags": {"a": "b"}},
    ROTATION: {
        "secretId": ARN.format("secretsmanager", "secret:a"),
        "rotationLambdaArn": ARN.format("lambda", "function:rotate"),
        "rotationRules": {"scheduleExpression": "rate(90 days)", "duration": "3h"},
    },
    ROLE_POLICY: {"role": "rotate", "policy": json.dumps({"Version": "2012-10-17", "Statement": [READ]})},
    QUEUE: {"messageRetentionSeconds": 1209600},
    LOCK: {"bucket": "coreflux-trail", "rule": {"defaultRetention": {"mode": "COMPLIANCE", "days": 365}}},
    TASK: {
        "family": "server",
        "executionRoleArn": "arn:aws:iam::000000000000:role/execution",
        "cpu": "256",
        "memory": "512",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "containerDefinitions": json.dumps([{"name": "server", "image": "registry.example.com/server:1"}]),
    },
    VAULT: {"vaultName": "plant-prod", "resourceGroupName": "plant", "properties": PROPERTIES},
    ASSIGNMENT: {
        "roleDefinitionId": f"/subscriptions/{GUID}/providers/Microsoft.Authorization/roleDefinitions/"
        "4633458b-17de-408a-b874-0445c86b69e6",
        "principalId": GUID,
        "principalType": "ServicePrincipal",
        "scope": f"{SCOPE}/secrets/mqtt",
    },
    MOUNT: {"path": "plant", "type": "kv", "options": {"version": "2"}},
    POLICY: {"name": "plant-server", "policy": READS},
    ROOT_CERT: {"backend": "plant-root", "type": "internal", "commonName": "plant root", "ttl": "315360000"},
}
CONFIGURATION = {
    "aws": {"region": REGION},
    "azure-native": {"subscriptionId": GUID},
    "vault": {"address": "https://vault.example.com:8200"},
}
GONE = object()


def policy(**changed: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{**READ, **changed}]})


def container(**changed: object) -> str:
    return json.dumps([{"name": "server", "image": "registry.example.com/server:1", **changed}])


# One of each kind: the type, the property, its wrong value, and where the refusal says that it is.
WRONG: list[tuple[str, str, object, str]] = [
    (STORED, "recoveryWindow", 30, "recoveryWindow"),
    (ROTATION, "rotationRules", {"automaticallyAfterDay": 90}, "rotationRules.automaticallyAfterDay"),
    (STORED, "replicas", [{"region": "eu-north-1", "kmsKey": "k"}], "replicas[0].kmsKey"),
    (TASK, "containerDefinitions", container(secret=[]), "containerDefinitions[0].secret"),
    (ROTATION, "secretId", GONE, "secretId"),
    (STORED, "recoveryWindowInDays", "30", "recoveryWindowInDays"),
    (STORED, "recoveryWindowInDays", 3, "recoveryWindowInDays"),
    (STORED, "tags", {"version": 1}, "tags.version"),
    (TASK, "requiresCompatibilities", ["fargate"], "requiresCompatibilities[0]"),
    (TASK, "memory", "1536", "memory"),
    (ROTATION, "rotationLambdaArn", ARN.format("sqs", "rotate"), "rotationLambdaArn"),
    (ROTATION, "rotationRules", {"scheduleExpression": "rate(1 hour)"}, "rotationRules.scheduleExpression"),
    (LOCK, "rule", {"defaultRetention": {"mode": "COMPLIANCE", "days": 1, "years": 1}}, "rule.defaultRetention"),
    (ROLE_POLICY, "policy", policy(Conditions={}), "policy.Statement[0].Conditions"),
    (ROLE_POLICY, "policy", policy(Principal="*"), "policy.Statement[0].Principal"),
    (ROLE_POLICY, "policy", policy(Sid="a" * 10240), "policy"),
    (VAULT, "properties", {**PROPERTIES, "enablePurgeProtect": True}, "properties.enablePurgeProtect"),
    (VAULT, "properties", {**PROPERTIES, "softDeleteRetentionInDays": "90"}, "properties.softDeleteRetentionInDays"),
    (VAULT, "vaultName", "plant--prod", "vaultName"),
    (ASSIGNMENT, "principalType", "ManagedIdentity", "principalType"),
    (MOUNT, "path", "sys/plant", "path"),
    (POLICY, "policy", READS.replace("read", "write"), "policy"),
    (ROOT_CERT, "type", "exported", "type"),
]


class AbortedError(Exception):
    """What grpc's context does with a refusal."""


class Context:
    """A call that ends as grpc's does."""

    def abort(self, code: Any, text: str) -> None:
        raise AbortedError(code, text)


@pytest.fixture
def standins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Standin]:
    """By package, configured as Pulumi does it, without credentials or engine."""
    from tools.standin.aws.provider import Aws
    from tools.standin.azure.provider import Azure
    from tools.standin.vault.provider import Vault

    for name in [*os.environ]:
        if name.startswith((*OF_CLOUDS, "BAO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path / "nobody"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))  # where Vault's own command leaves a token
    made = {"aws": Standin(Aws("7.51.1")), "azure-native": Standin(Azure("3.29.0")), "vault": Standin(Vault("7.14.0"))}
    for package, given in CONFIGURATION.items():
        configure(made[package], given)
    return made


def configure(standin: Standin, given: Mapping[str, Any]) -> None:
    standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(given)), Context())


@pytest.fixture
def standin(standins: Mapping[str, Standin]) -> Standin:
    """The stand-in for AWS."""
    return standins["aws"]


def of(standins: Mapping[str, Standin], token: str) -> Standin:
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


@pytest.mark.parametrize("token", RIGHT)
def test_right_inputs_pass_and_so_does_what_a_preview_cannot_know(token: str, standins: Mapping[str, Standin]) -> None:
    assert reasons(check(of(standins, token), token, RIGHT[token])) == []
    for word in wire.UNKNOWNS:
        assert reasons(check(of(standins, token), token, dict.fromkeys(RIGHT[token], word))) == []


@pytest.mark.parametrize(("token", "name", "value", "at"), WRONG)
def test_a_wrong_input_is_refused_where_it_is(
    token: str, name: str, value: object, at: str, standins: Mapping[str, Standin]
) -> None:
    inputs = {key: entry for key, entry in {**RIGHT[token], name: value}.items() if entry is not GONE}

    found = reasons(check(of(standins, token), token, inputs))

    assert any(reason.startswith(f"{at}: ") for reason in found), found
    assert all(len(reason.split("; ", 2)) == 3 for reason in found), "what, rule and remedy"


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


def test_a_name_is_made_once_and_kept(standin: Standin) -> None:
    first = wire.inputs(check(standin, QUEUE, {}).inputs)["name"]
    assert first.startswith("it-")
    again = wire.inputs(check(standin, QUEUE, {}, name=first, __defaults=["name"]).inputs)["name"]
    assert again == first
    given = wire.inputs(check(standin, QUEUE, {"name": "mine"}, name=first, __defaults=["name"]).inputs)["name"]
    assert given == "mine"


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


def test_with_leave_a_resource_is_made_that_no_account_has(
    standins: Mapping[str, Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(choice.VARIABLE, "up")
    for token, right in RIGHT.items():
        request = provider_pb2.CreateRequest(urn=urn(token), properties=wire.struct(right))
        made = of(standins, token).Create(request, Context())
        assert made.id, token
        assert wire.plain_struct(made.properties).keys() >= right.keys()
        assert not {"privateKey", "privateKeyType"} & wire.plain_struct(made.properties).keys()


@pytest.mark.parametrize(
    ("package", "credentials", "needed"),
    [
        ("aws", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, "region"),
        ("azure-native", {"ARM_CLIENT_ID": "a", "ARM_CLIENT_SECRET": "b"}, "subscriptionId"),
        ("vault", {"VAULT_TOKEN": "a"}, "address"),
    ],
)
def test_it_refuses_to_run_with_credentials_or_without_its_configuration(
    package: str,
    credentials: dict[str, str],
    needed: str,
    standins: Mapping[str, Standin],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(AbortedError, match=needed):
        configure(standins[package], {})
    wrong = {**CONFIGURATION[package], "profil": "me"}
    answer = standins[package].CheckConfig(provider_pb2.CheckRequest(news=wire.struct(wrong)), Context())
    assert [reason.partition(":")[0] for reason in reasons(answer)] == ["profil"]
    for variable, text in credentials.items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(AbortedError, match=r"credentials|token"):
        configure(standins[package], CONFIGURATION[package])
    monkeypatch.setenv(choice.VARIABLE, "preview")
    configure(standins[package], CONFIGURATION[package])


def test_a_variable_that_names_another_namespace_is_refused(
    standins: Mapping[str, Standin], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_NAMESPACE", "admin")
    with pytest.raises(AbortedError, match="VAULT_NAMESPACE"):
        configure(standins["vault"], CONFIGURATION["vault"])
    configure(standins["vault"], {**CONFIGURATION["vault"], "namespace": "admin"})


@pytest.mark.parametrize("url", ["https://secretsmanager.eu-west-1.amazonaws.com", "http://192.0.2.1:5000", "nonsense"])
def test_it_deploys_only_into_an_emulator_of_this_machine(url: str) -> None:
    from tools.standin.aws.moto import Moto
    from tools.standin.azure.emulator import Emulator
    from tools.standin.vault.openbao import OpenBao

    for emulator in (Moto, Emulator, OpenBao):
        with pytest.raises(RefusedError, match="this machine"):
            emulator(url)


def test_a_function_or_type_that_it_does_not_know_is_said(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="getAmi"):
        standin.Invoke(provider_pb2.InvokeRequest(tok="aws:ec2/getAmi:getAmi"), Context())
    with pytest.raises(AbortedError) as refused:
        check(standin, "aws:secretsmanager/secret:Secrets", {})
    assert refused.value.args[0] is grpc.StatusCode.UNIMPLEMENTED


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


@pytest.mark.real
def test_set_up_lays_the_stand_in_only_without_credentials_and_refuses_to_deploy_on_it(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = tmp_path / "bin/pulumi-resource-vault"
    monkeypatch.setattr(clone, "TOOLS", tmp_path)
    monkeypatch.setattr(clone, "_built", lambda _: False)  # the official CLI fetches providers by itself
    with pytest.raises(SetupError, match="deploys nothing"):
        clone.provide_cloud("vault", "prod", deploys=True)
    assert not plugin.exists()
    clone.provide_cloud("vault", "prod", deploys=False)
    assert plugin.exists() and "STAND-IN for Vault" in capsys.readouterr().out
    monkeypatch.setenv("VAULT_TOKEN", "a")
    clone.provide_cloud("vault", "prod", deploys=True)
    assert not plugin.exists()


def test_credentials_are_found_where_each_provider_finds_them(
    standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
