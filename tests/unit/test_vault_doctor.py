"""What doctor expects of a Vault stack, compared with the program's real resources.

The server is scripted, and has the declared roles and policies. tests/contract/test_doctor_vault.py uses a real one.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.check import Level, Result
from secretops.platforms.vault.checks import vault_checks
from secretops.platforms.vault.checks.policy import Rule, rules
from secretops.platforms.vault.checks.server import Role, VaultServer
from tests.unit.harness import Deployed
from tests.unit.vault_stack import (
    by_agent,
    by_external_secrets,
    inputs,
    manifest_of,
    on_this_machine,
    store_of,
    with_every_option,
)

ROLES = (
    *("vault:appRole/authBackendRole:AuthBackendRole", "vault:jwt/authBackendRole:AuthBackendRole"),
    "vault:kubernetes/authBackendRole:AuthBackendRole",
)
POLICY = "vault:index/policy:Policy"
BASE = "coreflux-mcp-dev"
DEPLOYED = pytest.mark.parametrize(
    "deploy", [by_agent, by_external_secrets, on_this_machine, with_every_option], ids=lambda each: each.__name__
)
WELL: Mapping[str, Any] = {
    "token": {},
    "mount": {"type": "kv", "options": {"version": "2"}},
    f"{BASE}/config": {"max_versions": 5, "delete_version_after": "0s"},
    "sys/audit": {"first/": {"type": "file"}, "second/": {"type": "file"}},
    "secret_ids": [None],
    "unknown_paths": [],
}


class Played(VaultServer):
    """A server with the resources of `deployed`, and others that a test sets."""

    def __init__(self, deployed: Deployed, **answers: Any) -> None:
        super().__init__(store_of(manifest_of(deployed)))
        self.__dict__["_failure"] = None
        self.__dict__["status"] = {"sealed": False, "version": "2", "skew": answers.get("skew", timedelta(0))}
        self.texts = {one.inputs["name"]: one.inputs["policy"] for one in deployed.of_type(POLICY)}
        operators = [name for name in self.texts if name.endswith("-operator")]
        self.answers = {**WELL, "token": {"policies": operators, "ttl": 3600}, **answers}
        self.declared = {
            f"{each['backend']}/{each['roleName']}": each
            for name, one in deployed.resources.items()
            if one.type in ROLES
            for each in (inputs(deployed, name),)
        }

    def __getattribute__(self, name: str) -> Any:
        if name in WELL:
            return lambda *_: self.answers[name]
        return super().__getattribute__(name)

    def read(self, path: str) -> Mapping[str, Any]:
        return dict(self.answers.get(path, {}))

    def _mounted(self, path: str) -> Mapping[str, Any]:
        entry = next((entry for entry in self.declared if Role(entry, {}).path == path), None)
        if entry is None:
            return {}
        declared: Mapping[str, Any] = self.declared[entry]
        names = {"tokenPolicies": "token_policies", "tokenTtl": "token_ttl", "tokenPeriod": "token_period"}
        answers = {names[key]: each for key, each in declared.items() if key in names}
        return {"bind_secret_id": "approle" in entry, **answers, **self.answers.get("role", {})}

    def policy(self, name: str) -> list[Rule] | None:
        return rules(self.texts[name]) if name in self.texts else None

    def policies(self) -> tuple[str, ...]:
        return tuple(self.texts)

    def finds(self, name: str) -> Result:
        (check,) = [one for one in vault_checks(self) if one.name == name]
        return check.run()

    def grant(self, who: str, path: str, *may: str) -> None:
        capabilities = ", ".join(f'"{one}"' for one in may)
        self.texts[who] = self.texts.get(who, "") + f'\npath "{path}" {{ capabilities = [{capabilities}] }}'


CHECKS = ("roles", "secret ids", "readers' rights", "rotator's rights", "others' rights")


@DEPLOYED
def test_program_registers_what_doctor_expects(deploy: Callable[[], Deployed]) -> None:
    server = Played(deploy())
    assert server.rotator.endswith("-rotator")
    assert len(server.programs) >= 1 and not [entry for entry in server.programs if "alice" in entry]
    for check in CHECKS:
        assert server.finds(check).level is Level.OK, server.finds(check)


def test_healthy_server_has_no_finding() -> None:
    server = Played(on_this_machine())
    checks = ("server", "clock", "your token", "mount", "versions kept", "audit", "unknown paths")
    assert {name: server.finds(name).level for name in checks} == dict.fromkeys(checks, Level.OK)


@pytest.mark.parametrize(
    ("path", "may"),
    [
        *((f"{BASE}/data/broker-admin", ["read"]), (f"{BASE}/data/mqtt", ["read", "update"])),
        *((f"{BASE}/*", ["read"]), ("*", ["sudo"])),
    ],
)
def test_a_readers_policy_that_is_wider_than_declared_is_found(path: str, may: list[str]) -> None:
    server = Played(on_this_machine())
    server.grant(f"{BASE}-server", path, *may)
    found = server.finds("readers' rights")
    assert found.level is Level.ATTENTION and path in found.value


def test_a_policy_that_lacks_something_or_is_not_there_is_found() -> None:
    server = Played(on_this_machine())
    for who, check, lacking in (
        ("server", "readers' rights", f"{BASE}/data/mqtt"),
        ("rotator", "rotator's rights", f"{BASE}/destroy/mqtt"),
    ):
        server.texts[f"{BASE}-{who}"] = server.texts[f"{BASE}-{who}"].replace(f'"{lacking}"', '"elsewhere"')
        found = server.finds(check)
        assert found.level is Level.ATTENTION and lacking in found.value
    del server.texts[f"{BASE}-server"]
    assert f"{BASE}-server" in server.finds("readers' rights").value


def test_doctor_finds_policies_of_others_that_read_the_mount_but_not_lists() -> None:
    server = Played(on_this_machine())
    server.grant("team", f"{BASE}/metadata/*", "list")
    assert server.finds("others' rights").level is Level.OK
    server.grant("team", f"{BASE}/data/+", "read")
    found = server.finds("others' rights")
    assert found.level is Level.ATTENTION and "team" in found.value and f"{BASE}-server" not in found.value


def test_a_mount_that_forgets_versions_by_itself_is_found() -> None:
    for answers in ({"max_versions": 2}, {"delete_version_after": "24h"}):
        assert Played(on_this_machine(), **{f"{BASE}/config": answers}).finds("versions kept").level is Level.ATTENTION
    assert (
        Played(on_this_machine(), **{f"{BASE}/metadata/mqtt": {"max_versions": 1}}).finds("versions kept").level
        is Level.ATTENTION
    )


SOON, LATER = (datetime.now(UTC) + timedelta(days=days) for days in (1, 30))


@pytest.mark.parametrize(
    ("check", "answers"),
    [
        *(("roles", {"role": {"token_ttl": 72 * 3600}}), ("roles", {"role": {"token_num_uses": 9}})),
        *(("roles", {"role": {"token_policies": []}}), ("secret ids", {"secret_ids": []})),
        *(("clock", {"skew": timedelta(seconds=90)}), ("your token", {"token": {"policies": ["root"]}})),
        ("your token", {"token": {"policies": ["operator"], "ttl": 90}}),
        ("mount", {"mount": {"type": "kv", "options": {"version": "1"}}}),
        ("audit", {"sys/audit": {}}),
        ("audit", {"sys/audit": {"a/": {"options": {"log_raw": "true"}}, "b/": {}}}),
        ("audit", {"mount": {**WELL["mount"], "config": {"audit_non_hmac_response_keys": ["data"]}}}),
        ("unknown paths", {"unknown_paths": ["pending/old"]}),
    ],
)
def test_planted_fault_is_found(check: str, answers: dict[str, Any]) -> None:
    found = Played(on_this_machine(), **answers).finds(check)
    assert found.level is Level.ATTENTION and found.remedy


@pytest.mark.parametrize(("plain", "level"), [([], Level.UNKNOWN), (["data"], Level.ATTENTION)])
def test_audit_devices_of_a_namespace_are_unknown(plain: list[str], level: Level) -> None:
    mount = {**WELL["mount"], "config": {"audit_non_hmac_response_keys": plain}}
    assert Played(with_every_option(), mount=mount, **{"sys/audit": {}}).finds("audit").level is level


def test_a_role_that_is_not_there_is_found_and_one_long_secret_id_is_enough() -> None:
    assert Played(on_this_machine(), secret_ids=[SOON, LATER]).finds("secret ids").level is Level.OK
    server = Played(on_this_machine())
    server.declared.clear()
    assert server.finds("roles").level is Level.ATTENTION


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('path "a/b" { capabilities = ["read"] }', [("a/b", {"read"})]),
        ('path "a/*" {\n capabilities = [ "read", # all\n "list" ]\n}', [("a/*", {"read", "list"})]),
        ('/* path "x" { capabilities = ["read"] } */', []),
        ('path "a" { policy = "write" }', [("a", {"create", "read", "update", "delete", "list"})]),
        ('path "a" { capabilities = ["read", "deny"] }', []),
        ('path "a" { allowed_parameters = { "x" = ["}"] }\n capabilities = ["create"] }', [("a", {"create"})]),
        ('{"path": [{"a": [{"capabilities": ["read"]}]}]}', [("a", {"read"})]),
    ],
)
def test_a_policys_text_is_read_as_the_server_reads_it(text: str, found: list[tuple[str, set[str]]]) -> None:
    assert rules(text) == [Rule(path, frozenset(may)) for path, may in found]


@pytest.mark.parametrize(
    ("path", "covers", "touches"),
    [
        *(("kv/data/mqtt", True, True), ("kv/*", True, True), ("+/data/mqtt", True, True)),
        *(("kv/data/{{identity.entity.name}}", True, True), ("kv/data/mqtt/more", False, True), ("kv", False, False)),
        ("kv2/data/mqtt", False, False),
    ],
)
def test_a_rule_covers_a_path_and_touches_a_mount_as_globs_go(path: str, *, covers: bool, touches: bool) -> None:
    rule = Rule(path, frozenset({"read"}))
    assert (rule.covers("kv/data/mqtt"), rule.touches("kv")) == (covers, touches)
