"""The stand-in for Vault's provider: what it refuses, what makes a new resource, and when it steps back.

What it makes in an OpenBao is for tests/stacks. The protocol is the same as for the clouds: test_standin.py.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import provider_pb2

from tests.tools import standin_vault_inputs as planted
from tests.tools.standin_inputs import GONE
from tests.tools.test_standin import AbortedError, Context, check, reasons, urn
from tests.unit import vault_stack
from tools.standin import wire
from tools.standin.plugin import Standin
from tools.standin.vault import credentials
from tools.standin.vault.openbao import VARIABLE
from tools.standin.vault.provider import Vault

PROVIDER = {"address": planted.ADDRESS}


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    """Configured as Pulumi does it, without a token, a server or an engine."""
    for name in [*os.environ]:
        if name.startswith(("VAULT_", "BAO_", "STANDIN")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Standin(Vault("7.14.0"))
    made.Configure(provider_pb2.ConfigureRequest(args=wire.struct(PROVIDER)), Context())
    return made


def made(standin: Standin, token: str, *, preview: bool = False) -> tuple[str, dict[str, Any]]:
    request = provider_pb2.CreateRequest(urn=urn(token), properties=wire.struct(planted.RIGHT[token]), preview=preview)
    answer = standin.Create(request, Context())
    return answer.id, wire.plain_struct(answer.properties)


def replaces(standin: Standin, token: str, **changed: object) -> list[str]:
    old = planted.RIGHT[token]
    request = provider_pb2.DiffRequest(
        urn=urn(token), old_inputs=wire.struct(old), news=wire.struct({**old, **changed})
    )
    return list(standin.Diff(request, Context()).replaces)


@pytest.mark.parametrize(("namespace", "variable"), [("", "admin"), ("plant", "admin/")])
def test_a_variable_that_names_another_namespace_is_refused(
    namespace: str, variable: str, monkeypatch: pytest.MonkeyPatch, standin: Standin
) -> None:
    given = PROVIDER | ({"namespace": namespace} if namespace else {})
    monkeypatch.setenv("VAULT_NAMESPACE", variable)
    with pytest.raises(AbortedError, match=r"vault:namespace: .*VAULT_NAMESPACE, which is admin"):
        standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(given)), Context())
    monkeypatch.setenv("VAULT_NAMESPACE", namespace)
    standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(given)), Context())


@pytest.mark.parametrize("token", planted.RIGHT)
def test_what_is_right_passes(token: str, standin: Standin) -> None:
    assert reasons(check(standin, token, planted.RIGHT[token])) == []


@pytest.mark.parametrize(("token", "name", "value"), planted.AS_RIGHT)
def test_what_is_right_in_another_way_passes(token: str, name: str, value: object, standin: Standin) -> None:
    assert reasons(check(standin, token, {**planted.RIGHT[token], name: value})) == []


@pytest.mark.parametrize(
    ("token", "name", "value", "at"), [row[1:] for row in planted.WRONG], ids=[row[0] for row in planted.WRONG]
)
def test_what_is_wrong_is_refused_where_it_is(token: str, name: str, value: object, at: str, standin: Standin) -> None:
    inputs = copy.deepcopy(planted.RIGHT[token])
    inputs.pop(name, None)
    if value is not GONE:
        inputs[name] = value

    told = reasons(check(standin, token, inputs))

    assert any(reason.startswith(f"{at}: ") for reason in told), told
    for reason in told:
        what, rule, remedy = reason.split("; ", 2)
        assert what and rule and remedy


def test_what_the_shipped_programs_ask_for_passes_and_every_type_of_theirs_is_looked_at(standin: Standin) -> None:
    seen = set()
    stacks = (vault_stack.by_agent, vault_stack.by_external_secrets, vault_stack.on_this_machine)
    for deployed in (*(stack() for stack in stacks), vault_stack.with_every_option()):
        for one in vault_stack.vaults(deployed):
            if one.type != "pulumi:providers:vault":
                assert reasons(check(standin, one.type, one.inputs)) == [], one.name
                seen.add(one.type)
    assert seen == planted.RIGHT.keys()


def test_without_an_openbao_it_makes_up_what_vault_would_compute_and_says_so(
    standin: Standin, monkeypatch: Any
) -> None:
    monkeypatch.setenv("STANDIN", "up")

    assert made(standin, planted.POLICY)[0] == "plant-server"
    assert made(standin, planted.BY_SECRET_ID)[0] == "auth/plant-approle/role/plant-server"
    assert made(standin, planted.MOUNT)[1]["accessor"].startswith("kv_")
    assert "stand-in's request" in made(standin, planted.REQUEST)[1]["csr"]
    assert made(standin, planted.REQUEST) == made(standin, planted.REQUEST), "two runs give the same"


@pytest.mark.parametrize("token", [planted.ROOT, planted.REQUEST])
def test_no_key_is_made_up_either(token: str, standin: Standin, monkeypatch: Any) -> None:
    monkeypatch.setenv("STANDIN", "up")

    assert not {"privateKey", "privateKeyType"} & made(standin, token)[1].keys()


def test_a_preview_leaves_open_what_the_server_computes(standin: Standin) -> None:
    assert made(standin, planted.MOUNT, preview=True)[1]["accessor"] == wire.UNKNOWN


def test_it_deploys_nothing_where_nobody_said_so(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="it deploys nothing"):
        made(standin, planted.POLICY)


@pytest.mark.parametrize(
    ("token", "changed", "anew"),
    [
        (planted.MOUNT, {"description": "a"}, []),
        (planted.MOUNT, {"path": "elsewhere"}, []),
        (planted.MOUNT, {"type": "generic"}, ["type"]),
        (planted.POLICY, {"policy": planted.READS * 1 + "\n"}, []),
        (planted.POLICY, {"name": "plant-rotator"}, ["name"]),
        (planted.BY_SECRET_ID, {"tokenTtl": 60}, []),
        (planted.BY_SECRET_ID, {"roleName": "plant-rotator"}, ["roleName"]),
        (planted.BY_SECRET_ID, {"backend": "elsewhere"}, ["backend"]),
        (planted.AUDIT, {"options": {"file_path": "stdout"}}, ["options"]),
        (planted.ROOT, {"ttl": "1000"}, ["ttl"]),
        (planted.ISSUES, {"ttl": "7d"}, []),
    ],
)
def test_a_new_resource_is_made_where_the_provider_makes_one(
    token: str, changed: Mapping[str, object], anew: list[str], standin: Standin
) -> None:
    assert replaces(standin, token, **changed) == anew


def test_it_wants_an_address_and_no_token(standin: Standin, monkeypatch: Any, tmp_path: Path) -> None:
    with pytest.raises(AbortedError, match="vault:address: missing"):
        standin.Configure(provider_pb2.ConfigureRequest(), Context())
    (tmp_path / ".vault-token").write_text("made for this test")
    for found in (str(tmp_path / ".vault-token"), "VAULT_TOKEN"):
        with pytest.raises(AbortedError, match=rf"there is a Vault token \(from {found}\)"):
            standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(PROVIDER)), Context())
        monkeypatch.setenv("VAULT_TOKEN", "made for this test")
    monkeypatch.setenv("STANDIN", "preview")
    standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(PROVIDER)), Context())


def test_a_token_is_found_where_pulumis_provider_finds_it(tmp_path: Path) -> None:
    nobody = {"HOME": str(tmp_path), "VAULT_ADDR": planted.ADDRESS, "VAULT_NAMESPACE": "plant"}

    assert credentials.source(nobody) == ""
    (tmp_path / ".vault-token").write_text("\n")
    assert credentials.source(nobody) == ""
    assert credentials.source({**nobody, "VAULT_TOKEN": "made for this test"}) == "VAULT_TOKEN"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8200", "https://vault.example.com:8200", "nonsense"])
def test_a_server_that_is_not_this_machines_is_refused(url: str, standin: Standin, monkeypatch: Any) -> None:
    monkeypatch.setenv(VARIABLE, url)

    with pytest.raises(AbortedError, match="only in a server on this machine"):
        standin.Configure(provider_pb2.ConfigureRequest(args=wire.struct(PROVIDER)), Context())


def test_no_function_of_vault_is_answered(standin: Standin) -> None:
    with pytest.raises(AbortedError, match="answers no function of Vault"):
        standin.Invoke(provider_pb2.InvokeRequest(tok="vault:kv/getSecretV2:getSecretV2"), Context())
