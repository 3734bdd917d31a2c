"""What a stack file can't ask of a Vault: told at once, as value, rule, remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from settings import ConfigurationError
from tests.unit.vault_stack import IMAGE, ISSUER, file_on_vault, for_pods, refusals

PODS = f'kind: kubernetes, image: "{IMAGE}"'
SAID = f'issuer: "{ISSUER}"'


def told(*words: str, found: list[str]) -> None:
    assert len(found) == 1, found
    for word in words:
        assert word in found[0], (word, found[0])


@pytest.mark.parametrize(
    ("store", "words"),
    [
        (", mount: plant", ("store.mount: unknown key", "approle")),
        (", product: openbau", ("store.product", "one of vault, openbao", "did you mean openbao?")),
        (", max_versions: 2", ("store.max_versions: 2", "from 3 to 100", "the next, the current and the previous")),
        (", namespace: /plant/", ("store.namespace", "no slash at its ends")),
        (", approle: {days: 0}", ("store.approle.days: 0", "from 1 to 366 days")),
        (", approle: {wraped: true}", ("store.approle.wraped: unknown key", "did you mean wrapped?")),
        (", approle: {networks: [10.0.0.1/8]}", ("store.approle.networks.0", "CIDR notation")),
        (', jwt: {issuer: "http://a", server: a, rotator: b}', ("store.jwt.issuer", "openid-configuration")),
        (", pki: {signed_by: me}", ("store.pki.signed_by", "one of stack, outside")),
        (", pki: {days: 365}", ("store.pki.days: 365", "from 1 to 90 days")),
        (", audit_files: [log/audit]", ("store.audit_files.0", "a path on the Vault server, or stdout")),
        (", token: abc", ("store.token: what looks like a secret's value (not shown)", "bao login", "VAULT_TOKEN")),
        (
            ", approle: {secret_id: abc}",
            ("store.approle.secret_id: what looks like a secret's value (not shown)", "the stack's output next"),
        ),
        (", pki: ", ("store.pki: nothing", "a section", "write pki: {}")),
        (", pki: true", ("store.pki: true", "a section", "write pki: {}")),
        (", pki: stack", ("store.pki: text", "a section", "write pki: {}")),
        (", approle: ", ("store.approle: nothing", "write approle: {}")),
        (", jwt: ", ("store.jwt: nothing", "write issuer:", "or take it out")),
        (", audit_files: false", ("store.audit_files: false", "a list", "for none audit_files: []")),
    ],
)
def test_an_entry_that_is_none_is_refused_where_it_is(store: str, words: tuple[str, ...]) -> None:
    found = [
        one for one in refusals(store, broker=", client_certificate: true") if "unknown key" in one or words[0] in one
    ]

    told(*words, found=found[:1])


@pytest.mark.parametrize("entry", ["token: abc", "approle: {secret_id: abc}", "jwt: {token: abc}", "password: abc"])
def test_what_opens_vault_is_put_nowhere_by_secretops(entry: str) -> None:
    """It would replace the Copilot's key or the broker's password, and go to whoever is sent those."""
    (found,) = [one for one in refusals(f", {entry}") if "not shown" in one]

    assert "secretops put" not in found


def test_a_certificate_is_named_by_its_file() -> None:
    (found,) = [one for one in refusals(', ca_file: "-----BEGIN CERTIFICATE-----"') if "not shown" in one]

    assert found.endswith("name the file that has the new one")


def test_what_is_missing_is_told_with_its_form() -> None:
    file = file_on_vault()
    file.entries["store"] = '{"kind": "vault"}'
    with pytest.raises(ConfigurationError) as refused:
        file.parse("prod")

    told = " ".join(str(refused.value).split())
    assert "add address: https://vault.example.com:8200" in told
    assert "add operators: [userpass/alice]" in told
    file.entries["store"] = '{"kind": "vault", "address": "https://vault.example.com:8200", "operators": []}'
    with pytest.raises(ConfigurationError, match=r"add one: operators: \[userpass/alice\]"):
        file.parse("prod")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://vault.example.com:8200", ("store.address", "https", "values travel by TLS alone")),
        ("https://vault.example.com/v1/", ("store.address", "no path")),
        ("vault.example.com", ("store.address", "the server's URL")),
    ],
)
def test_an_address_is_a_url_with_tls_and_nothing_behind_it(text: str, words: tuple[str, ...]) -> None:
    file = file_on_vault()
    file.entries["store"] = file.entries["store"].replace("https://vault.example.com:8200", text)

    with pytest.raises(Exception, match="has 1 error") as refused:
        file.parse("prod")
    assert all(word in " ".join(str(refused.value).split()) for word in words)


def test_operators_are_named_as_the_audit_log_has_them() -> None:
    file = file_on_vault()
    file.entries["store"] = file.entries["store"].replace("userpass/alice", "alice")

    with pytest.raises(Exception, match=r"store\.operators\.0"):
        file.parse("prod")


def test_two_methods_are_one_too_many() -> None:
    found = refusals(f", approle: {{}}, jwt: {{{SAID}, server: a, rotator: b}}")

    told("store: approle and jwt", "log in by one method", found=found)


def test_pods_have_tokens_and_no_secret_ids() -> None:
    told("store.approle: with server kubernetes", "take it out", found=refusals(", approle: {}", kind=PODS))


def test_who_is_in_no_cluster_has_no_service_account() -> None:
    told("store.kubernetes: with a server outside of a cluster", "by approle", found=refusals(", kubernetes: {}"))


def test_whose_token_it_is_has_to_be_said_outside_of_a_cluster() -> None:
    found = refusals(f", jwt: {{{SAID}, server: mcp}}")

    told("store.jwt.rotator: missing", "bound to one subject", "the claim sub", found=found)


def test_whose_token_it_is_is_known_in_a_cluster() -> None:
    found = refusals(f", jwt: {{{SAID}, server: mcp, rotator_file: /a}}", kind=PODS)

    assert [one.partition(" ")[0] for one in found] == ["store.jwt.server:", "store.jwt.rotator_file:"]


def test_a_pki_signs_for_a_broker_that_asks() -> None:
    told("store.pki: without broker.client_certificate", found=refusals(", pki: {}"))


def test_the_embedded_broker_asks_nobody_for_a_certificate() -> None:
    file = file_on_vault(", pki: {}")
    file.entries["broker"] = '{"kind": "embedded"}'

    with pytest.raises(Exception, match=r"store\.pki: with the embedded broker"):
        file.parse("dev")


def test_the_stacks_own_root_takes_nobodys_certificate(tmp_path: Path) -> None:
    found = refusals(f', pki: {{certificate_file: "{tmp_path}/none.crt"}}', broker=", client_certificate: true")

    assert [one.partition(" with ")[0].partition(": /")[0] for one in found] == [
        "store.pki.certificate_file:",
        "store.pki.certificate_file",
    ]
    assert "No such file" in found[1]


@pytest.mark.parametrize("key", ["ca_file", "jwt: {issuer: 'https://a.example', server: a, rotator: b, ca_file"])
def test_a_ca_file_is_there_and_has_a_certificate(key: str, tmp_path: Path) -> None:
    empty = tmp_path / "empty.crt"
    empty.write_text("nothing")
    end = "}" if "{" in key else ""

    told("no certificate in it", "read here", found=refusals(f', {key}: "{empty}"{end}'))
    told("No such file", "put it there", found=refusals(f', {key}: "{tmp_path}/none"{end}'))


def test_what_a_launcher_fetches_it_has_to_have_a_use_for() -> None:
    told("secrets.db: read by the server", found=refusals(secrets="{db: {fields: [url]}}"))
    told("secrets.db: read by the server", "SyncedKey", found=refusals(secrets="{db: {fields: [url]}}", kind=PODS))
    server = ", reference: SyncedKey"
    assert file_on_vault(server=server, secrets="{db: {fields: [url]}}", kind=PODS).parse("prod")


def test_a_grace_is_long_enough_for_a_look_that_fails() -> None:
    told("rotation.grace_seconds: 60", found=refusals(rotation="{grace_seconds: 60}"))
    told("rotation.grace_seconds: 60 with store vault", found=refusals(rotation="{grace_seconds: 60}", kind=PODS))


def test_a_grace_outlasts_the_pauses_that_an_agent_makes_and_external_secrets_makes_none() -> None:
    told("at least 420: ", "six minutes", found=refusals(rotation="{grace_seconds: 419}", kind=PODS))
    for seconds, server in ((420, ""), (240, ", reference: SyncedKey")):
        file = file_on_vault(server=server, kind=PODS, rotation=f"{{grace_seconds: {seconds}}}")
        assert file.parse("prod").rotation.grace_seconds == seconds
    copied = refusals(server=", reference: SyncedKey", rotation="{grace_seconds: 239}", kind=PODS)
    told("at least 240: ", "three minutes", found=copied)


def test_which_secrets_are_kept_is_noted_at_one_path_which_takes_no_more() -> None:
    def many(number: int) -> str:
        return f"{{{', '.join(f's{at}: {{fields: [url], readers: [rotator]}}' for at in range(number))}}}"

    assert file_on_vault(secrets=many(55)).parse("dev")
    told("secrets: 56 of them with store vault", "at most 55", found=refusals(secrets=many(56)))


def test_where_the_agent_lays_the_certificate_cert_manager_writes_none() -> None:
    server = ", certificate_issuer: {kind: Issuer, name: plant}"
    found = refusals("", server, ", client_certificate: true", kind=PODS)

    told("server.certificate_issuer: with files of Vault's agent", "add pki to the store", found=found)
    assert for_pods(server=f"{server}, reference: SyncedKey", broker=", client_certificate: true").resources[
        "certificate"
    ]


@pytest.mark.parametrize("entry", ["reference: SyncedKey", "vault_cidrs: [10.0.0.0/8]"])
def test_what_a_cluster_says_of_vault_is_for_a_vault(entry: str) -> None:
    file = file_on_vault(server=f", {entry}", kind=PODS)
    file.entries["store"] = '{"kind": "kubernetes"}'

    with pytest.raises(Exception, match=rf"server.{entry.partition(':')[0]}"):
        file.parse("prod")


def test_a_server_on_ecs_is_refused_with_the_exact_reason() -> None:
    ecs = f'kind: ecs, image: "{IMAGE}", subnets: [subnet-0123456789abcdef0], security_groups: [sg-0123456789abcdef0]'

    (found,) = [one for one in refusals(kind=ecs) if "store vault with server ecs" in one]
    assert "is not built" in found
    assert "OpenBao has no such auth method" in found
    assert "today store vault goes with server local" in found


def test_a_pair_that_cannot_be_is_told_before_somebody_completes_its_server() -> None:
    found = refusals(kind=f'kind: ecs, image: "{IMAGE}"')

    assert any("store vault with server ecs" in one for one in found)
    assert any("server.subnets: missing" in one for one in found)
