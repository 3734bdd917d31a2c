"""What a stack file can't ask of a Vault: refused at once, at the entry that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import ConfigurationError
from tests.unit.vault_stack import IMAGE, ISSUER, file_on_vault, for_pods, refusals

PODS = f'kind: kubernetes, image: "{IMAGE}"'
SWARM = f"kind: swarm, image: '{IMAGE}', login: coreflux-mcp-login"
ECS = f'kind: ecs, image: "{IMAGE}"'
SAID = f'issuer: "{ISSUER}"'
COPIED = ", reference: SyncedKey"


@pytest.mark.parametrize(
    ("store", "entry"),
    [
        (", mount: plant", "store.mount: unknown key"),
        (", product: openbau", "store.product"),
        (", max_versions: 2", "store.max_versions: 2"),
        (", namespace: /plant/", "store.namespace"),
        (", approle: {days: 0}", "store.approle.days: 0"),
        (", approle: {wraped: true}", "store.approle.wraped: unknown key"),
        (", approle: {networks: [10.0.0.1/8]}", "store.approle.networks.0"),
        (', jwt: {issuer: "http://a", server: a, rotator: b}', "store.jwt.issuer"),
        (", pki: {signed_by: me}", "store.pki.signed_by"),
        (", pki: {days: 365}", "store.pki.days: 365"),
        (", audit_files: [log/audit]", "store.audit_files.0"),
        (", pki: ", "store.pki: nothing"),
        (", pki: true", "store.pki: true"),
        (", approle: ", "store.approle: nothing"),
        (", audit_files: false", "store.audit_files: false"),
    ],
)
def test_an_entry_that_is_none_is_refused_where_it_is(store: str, entry: str) -> None:
    found = refusals(store, broker=", client_certificate: true")

    assert any(one.startswith(entry) for one in found), found


@pytest.mark.parametrize("entry", ["token: abc", "approle: {secret_id: abc}", "jwt: {token: abc}", "password: abc"])
def test_what_opens_vault_is_neither_shown_nor_put_by_secretops(entry: str) -> None:
    """It would replace the Copilot's key or the broker's password, and go to whoever is sent those."""
    (found,) = [one for one in refusals(f", {entry}") if "not shown" in one]

    assert "secretops put" not in found and "abc" not in found


@pytest.mark.parametrize(
    ("more", "entry"),
    [
        ({"store": f", approle: {{}}, jwt: {{{SAID}, server: a, rotator: b}}"}, "store: approle and jwt"),
        ({"store": ", approle: {}", "kind": PODS}, "store.approle: with server kubernetes"),
        ({"store": ", kubernetes: {}"}, "store.kubernetes: with a server outside of a cluster"),
        ({"store": f", jwt: {{{SAID}, server: mcp}}"}, "store.jwt.rotator: missing"),
        ({"store": f", jwt: {{{SAID}, server: mcp}}", "kind": PODS}, "store.jwt.server:"),
        ({"store": f", jwt: {{{SAID}, rotator_file: /a}}", "kind": PODS}, "store.jwt.rotator_file:"),
        ({"store": f", jwt: {{{SAID}, server: a, rotator: b}}", "kind": SWARM}, "store.jwt: with server swarm"),
        ({"store": ", approle: {server_file: /a}", "kind": SWARM}, "store.approle.server_file: with server swarm"),
        ({"store": ", approle: {wrapped: true}", "kind": SWARM}, "store.approle.wrapped: with server swarm"),
        ({"store": ", pki: {}"}, "store.pki: without broker.client_certificate"),
        ({"secrets": "{db: {fields: [url]}}"}, "secrets.db: read by the server"),
        ({"secrets": "{db: {fields: [url]}}", "kind": PODS}, "secrets.db: read by the server"),
        ({"rotation": "{grace_seconds: 60}"}, "rotation.grace_seconds: 60"),
        ({"rotation": "{grace_seconds: 419}", "kind": PODS}, "rotation.grace_seconds: 419"),
        ({"rotation": "{grace_seconds: 239}", "kind": PODS, "server": COPIED}, "rotation.grace_seconds: 239"),
    ],
)
def test_what_contradicts_another_section_is_refused(more: dict[str, str], entry: str) -> None:
    (found,) = refusals(**more)

    assert found.startswith(entry)


@pytest.mark.parametrize(
    "more",
    [
        {"rotation": "{grace_seconds: 420}", "kind": PODS},
        {"rotation": "{grace_seconds: 240}", "kind": PODS, "server": COPIED},
        {"secrets": "{db: {fields: [url]}}", "kind": PODS, "server": COPIED},
    ],
)
def test_what_fits_to_the_other_sections_is_taken(more: dict[str, str]) -> None:
    assert file_on_vault(**more).parse("prod")


@pytest.mark.parametrize(
    ("section", "was", "becomes", "entry"),
    [
        ("store", "userpass/alice", "alice", r"store\.operators\.0"),
        ("store", '["userpass/alice"]', "[]", r"store\.operators"),
        ("store", "https://vault", "http://vault", r"store\.address"),
        ("store", ":8200", ":8200/v1/", r"store\.address"),
        ("store", "https://vault.example.com:8200", "vault.example.com", r"store\.address"),
        ("broker", '"kind": "coreflux", "host": "mqtt.example.com"', '"kind": "embedded"', r"store\.pki"),
    ],
)
def test_an_address_an_operator_or_a_broker_that_does_not_do_is_refused(
    section: str, was: str, becomes: str, entry: str
) -> None:
    file = file_on_vault(", pki: {}")
    assert was in file.entries[section]
    file.entries[section] = file.entries[section].replace(was, becomes)

    with pytest.raises(ConfigurationError, match=entry):
        file.parse("dev")


def test_the_stacks_own_root_takes_nobodys_certificate(tmp_path: Path) -> None:
    found = refusals(f', pki: {{certificate_file: "{tmp_path}/none.crt"}}', broker=", client_certificate: true")

    assert len(found) == 2 and all(one.startswith("store.pki.certificate_file") for one in found)


@pytest.mark.parametrize("key", ["ca_file", "jwt: {issuer: 'https://a.example', server: a, rotator: b, ca_file"])
def test_a_ca_file_is_there_and_has_a_certificate(key: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.crt"
    empty.write_text("nothing")
    end = "}" if "{" in key else ""

    for name, why in (("empty.crt", "no certificate in it"), ("none", "No such file")):
        (found,) = refusals(f', {key}: "{tmp_path}/{name}"{end}')
        assert "ca_file" in found and why in found


def test_no_more_secrets_are_kept_than_one_path_has_notes_for() -> None:
    def many(number: int) -> str:
        return f"{{{', '.join(f's{at}: {{fields: [url], readers: [rotator]}}' for at in range(number))}}}"

    assert file_on_vault(secrets=many(55)).parse("dev")
    (found,) = refusals(secrets=many(56))
    assert found.startswith("secrets: 56")


def test_where_the_agent_lays_the_certificate_cert_manager_writes_none() -> None:
    server = ", certificate_issuer: {kind: Issuer, name: plant}"
    (found,) = refusals("", server, ", client_certificate: true", kind=PODS)

    assert found.startswith("server.certificate_issuer: with files of Vault's agent")
    made = for_pods(server=f"{server}{COPIED}", broker=", client_certificate: true")
    assert made.resources["certificate"]


@pytest.mark.parametrize("entry", ["reference: SyncedKey", "vault_cidrs: [10.0.0.0/8]"])
def test_what_a_cluster_says_of_vault_is_for_a_vault(entry: str) -> None:
    file = file_on_vault(server=f", {entry}", kind=PODS)
    file.entries["store"] = '{"kind": "kubernetes"}'

    with pytest.raises(ConfigurationError, match=rf"server.{entry.partition(':')[0]}"):
        file.parse("prod")


def test_a_server_on_ecs_is_refused_before_somebody_completes_it() -> None:
    found = refusals(kind=ECS)

    assert any("store vault with server ecs" in one and "is not built" in one for one in found)
    assert any("server.subnets: missing" in one for one in found)
