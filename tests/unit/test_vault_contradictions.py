"""What a stack file can't ask of a Vault: refused at once, at the entry that is wrong."""

import pytest

from settings import ConfigurationError
from tests.unit.vault_stack import IMAGE, ISSUER, file_on_vault, refusals

PODS = f'kind: kubernetes, image: "{IMAGE}"'
SWARM = f"kind: swarm, image: '{IMAGE}', login: coreflux-mcp-login"
SAID = f'issuer: "{ISSUER}"'
COPIED = ", reference: SyncedKey"


@pytest.mark.parametrize(
    ("store", "entry"),
    [
        (", mount: plant", "store.mount: unknown key"),
        (", product: openbau", "store.product"),
        (", approle: {wraped: true}", "store.approle.wraped: unknown key"),
        (", approle: {networks: [10.0.0.1/8]}", "store.approle.networks.0"),
        (', jwt: {issuer: "http://a", server: a, rotator: b}', "store.jwt.issuer"),
        (", pki: {days: 365}", "store.pki.days: 365"),
        (", pki: ", "store.pki: nothing"),
    ],
)
def test_an_entry_that_is_none_is_refused_where_it_is(store: str, entry: str) -> None:
    found = refusals(store, broker=", client_certificate: true")
    assert any(one.startswith(entry) for one in found), found


@pytest.mark.parametrize("entry", ["token: abc", "approle: {secret_id: abc}"])
def test_what_opens_vault_is_neither_shown_nor_put_by_secretops(entry: str) -> None:
    """It would replace the Copilot's key or the broker's password, and go to whoever is sent those."""
    (found,) = [one for one in refusals(f", {entry}") if "not shown" in one]
    assert "secretops put" not in found and "abc" not in found


@pytest.mark.parametrize(
    ("more", "entry"),
    [
        ({"store": f", approle: {{}}, jwt: {{{SAID}, server: a, rotator: b}}"}, "store: approle and jwt"),
        ({"store": ", approle: {}", "kind": PODS}, "store.approle: with server kubernetes"),
        ({"store": f", jwt: {{{SAID}, server: mcp}}"}, "store.jwt.rotator: missing"),
        ({"store": f", jwt: {{{SAID}, server: mcp}}", "kind": PODS}, "store.jwt.server:"),
        ({"store": f", jwt: {{{SAID}, server: a, rotator: b}}", "kind": SWARM}, "store.jwt: with server swarm"),
        ({"store": ", pki: {}"}, "store.pki: without broker.client_certificate"),
        ({"secrets": "{db: {fields: [url]}}"}, "secrets.db: read by the server"),
        ({"rotation": "{grace_seconds: 60}"}, "rotation.grace_seconds: 60"),
        ({"rotation": "{grace_seconds: 419}", "kind": PODS}, "rotation.grace_seconds: 419"),
        ({"rotation": "{grace_seconds: 239}", "kind": PODS, "server": COPIED}, "rotation.grace_seconds: 239"),
    ],
)
def test_what_contradicts_another_section_is_refused(more: dict[str, str], entry: str) -> None:
    (found,) = refusals(**more)
    assert found.startswith(entry)


@pytest.mark.parametrize(
    ("section", "was", "becomes", "entry"),
    [
        ("store", "userpass/alice", "alice", r"store\.operators\.0"),
        ("store", "https://vault", "http://vault", r"store\.address"),
        ("broker", '"kind": "coreflux", "host": "mqtt.example.com"', '"kind": "embedded"', r"store\.pki"),
    ],
)
def test_invalid_address_operator_or_broker_is_refused(section: str, was: str, becomes: str, entry: str) -> None:
    file = file_on_vault(", pki: {}")
    assert was in file.entries[section]
    file.entries[section] = file.entries[section].replace(was, becomes)
    with pytest.raises(ConfigurationError, match=entry):
        file.parse("dev")
