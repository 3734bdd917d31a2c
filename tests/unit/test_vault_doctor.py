"""What doctor holds a Vault stack's roles and policies against, beside what the program really makes of them.

The server is played: it has the roles and the policies that the stack declares. A real one is in
tests/contract/test_doctor_vault.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")
pytest.importorskip("pulumi_vault", reason="Pulumi's Vault provider is not installed: the extra `vault`")

from secretops.operations.doctor.check import Level
from secretops.operations.doctor.vault_policy import Rule, rules
from secretops.operations.doctor.vault_rights import ReadersRights, RolesStand, RotatorsRights
from secretops.operations.doctor.vault_server import Role, VaultServer
from tests.unit.harness import Deployed
from tests.unit.vault_stack import (
    by_agent,
    by_external_secrets,
    inputs,
    manifest_of,
    on_this_machine,
    policies,
    store_of,
    with_every_option,
)

ROLES = (
    "vault:appRole/authBackendRole:AuthBackendRole",
    "vault:jwt/authBackendRole:AuthBackendRole",
    "vault:kubernetes/authBackendRole:AuthBackendRole",
)
DEPLOYED = pytest.mark.parametrize(
    "deploy", [by_agent, by_external_secrets, on_this_machine, with_every_option], ids=lambda each: each.__name__
)


class Played(VaultServer):
    """What `deployed` declares, as a server would say it."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__(store_of(manifest_of(deployed)))
        self.__dict__["_answer"] = None
        self._made = {
            f"{each['backend']}/{each['roleName']}": each
            for name, one in deployed.resources.items()
            if one.type in ROLES
            for each in (inputs(deployed, name),)
        }
        self._policies = {one.inputs["name"]: one.inputs["policy"] for one in deployed.of_type(POLICY)}

    def _role(self, entry: str) -> Role | None:
        said: Mapping[str, Any] | None = self._made.get(entry)
        if said is None:
            return None
        names = {"tokenPolicies": "token_policies", "tokenTtl": "token_ttl", "tokenPeriod": "token_period"}
        return Role(entry, {names[key]: each for key, each in said.items() if key in names})

    def policy(self, name: str) -> list[Rule] | None:
        return rules(self._policies[name]) if name in self._policies else None


POLICY = "vault:index/policy:Policy"


@DEPLOYED
def test_what_the_program_makes_is_what_doctor_asks_for(deploy: Callable[[], Deployed]) -> None:
    server = Played(deploy())
    assert server.rotator.endswith("-rotator")
    assert len(server.programs) >= 1 and not [entry for entry in server.programs if "alice" in entry]
    for check in (RolesStand(server), ReadersRights(server), RotatorsRights(server)):
        assert check.look().level is Level.OK, check.look()


@DEPLOYED
def test_every_policys_text_is_understood_whole(deploy: Callable[[], Deployed]) -> None:
    deployed = deploy()
    for name, expected in policies(deployed).items():
        found = Played(deployed).policy(name) or []
        assert {rule.path: rule.may for rule in found} == {path: frozenset(may) for path, may in expected.items()}


@DEPLOYED
def test_an_operator_sees_all_that_doctor_looks_at(deploy: Callable[[], Deployed]) -> None:
    deployed = deploy()
    server = Played(deployed)
    mount = server.location.mount
    (mine,) = (each for name, each in policies(deployed).items() if name.endswith("-operator"))
    granted = [Rule(path, frozenset(may)) for path, may in mine.items()]
    roles = [f"auth/{'/role/'.join(entry.rsplit('/', 1))}" for entry in server.programs]
    asked = {
        **dict.fromkeys((f"sys/mounts/{mount}", f"{mount}/config", "auth/token/lookup-self", *roles), "read"),
        **{f"sys/policies/acl/{name}": "read" for name in policies(deployed)},
        **{f"{mount}/metadata/{path}": "read" for path in server.paths()},
        **{f"{mount}/metadata/{folder}": "list" for folder in ("", "pending/", "rotator/")},
        f"{mount}/data/{server.location.lease}": "read",
        "sys/audit": "sudo",
        "sys/audit-hash/first": "update",
        "sys/policies/acl": "list",
        "sys/policies/acl/anothers": "read",
    }
    for role in (each for each in roles if "approle" in each):
        asked |= {f"{role}/secret-id": "list", f"{role}/secret-id-accessor/lookup": "update"}
    missing = [f"{right} {path}" for path, right in asked.items() if not _may(granted, path, right)]
    assert missing == []


def _may(granted: list[Rule], path: str, right: str) -> bool:
    return any(rule.covers(path) and right in rule.may for rule in granted)
