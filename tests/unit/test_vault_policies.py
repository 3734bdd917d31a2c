"""The policies, logins and CA that the program registers in Vault. tests/stacks uses them."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from components.settings.section import PROJECT_FOLDER
from tests.unit.harness import Deployed, ca_file
from tests.unit.vault_stack import (
    GOLDEN,
    ISSUER,
    by_agent,
    by_external_secrets,
    every_policy,
    for_pods,
    for_this_machine,
    inputs,
    manifest_of,
    on_this_machine,
    policies,
    with_every_option,
    wrong,
)

OWN = {"auth/token/lookup-self": ["read"], "auth/token/renew-self": ["update"], "auth/token/revoke-self": ["update"]}
STACKS = {each.__name__: each for each in (by_agent, by_external_secrets, on_this_machine, with_every_option)}


@pytest.fixture(params=STACKS)
def deployed(request: pytest.FixtureRequest) -> Deployed:
    made: Deployed = STACKS[request.param]()
    return made


def of(deployed: Deployed, who: str) -> dict[str, list[str]]:
    (found,) = [paths for name, paths in policies(deployed).items() if name.endswith(f"-{who}")]
    return found


def test_each_role_and_person_has_a_policy_and_no_program_a_wildcard(deployed: Deployed) -> None:
    base = f"coreflux-mcp-{manifest_of(deployed).stack}"
    assert sorted(policies(deployed)) == [f"{base}-{who}" for who in ("doctor", "operator", "rotator", "server")]
    for who in ("server", "rotator"):
        assert not [path for path, may in of(deployed, who).items() if {"*", "+"} & set(path) or "list" in may]


def test_the_server_reads_the_current_value_of_its_secrets_and_nothing_else() -> None:
    data = {f"coreflux-mcp-prod/data/{secret}": ["read"] for secret in ("mqtt", "agent-key", "http-token")}
    polled = {
        f"coreflux-mcp-dev/{kind}/{secret}": ["read"]
        for kind in ("data", "metadata")
        for secret in ("mqtt", "agent-key")
    }
    assert of(by_agent(), "server") == of(by_external_secrets(), "server") == {**data, **OWN}
    assert of(on_this_machine(), "server") == {**polled, **OWN}, "a launcher polls for a newer one"
    assert of(with_every_option(), "server") == {**data, "coreflux-mcp-prod/data/client-cert": ["read"], **OWN}


def test_the_rotator_keeps_each_secret_by_its_paths_and_holds_the_lease(deployed: Deployed) -> None:
    manifest = manifest_of(deployed)
    mount = f"coreflux-mcp-{manifest.stack}"
    data, notes = ["create", "read", "update"], ["create", "read", "update", "patch"]
    expected = {**OWN, f"{mount}/data/rotator/lease": data, f"{mount}/metadata/rotator/lease": notes}
    for secret in manifest.secrets:
        for path, gone in ((secret.name, []), (f"pending/{secret.name}", ["delete"])):
            expected |= {f"{mount}/data/{path}": data, f"{mount}/metadata/{path}": [*notes, *gone]}
        expected |= {f"{mount}/destroy/{secret.name}": ["update"]}
        if secret.issuer:
            expected |= {f"{mount}-pki/sign/client": ["update"]}
    assert of(deployed, "rotator") == expected


def test_an_operator_may_what_the_rotator_may_and_purge(deployed: Deployed) -> None:
    rotator, operator = of(deployed, "rotator"), of(deployed, "operator")
    assert [path for path, may in rotator.items() if not set(may) <= set(operator[path])] == []
    mount = f"coreflux-mcp-{manifest_of(deployed).stack}"
    for secret in manifest_of(deployed).secrets:
        for path in (secret.name, f"pending/{secret.name}"):
            assert "delete" in operator[f"{mount}/metadata/{path}"]
        for kind in ("delete", "undelete"):  # bao kv delete -versions, bao kv undelete
            assert operator[f"{mount}/{kind}/{secret.name}"] == ["update"]


def test_only_the_doctors_policy_reads_those_of_other_stacks(deployed: Deployed) -> None:
    reach = {"sys/policies/acl": ["list"], "sys/policies/acl/*": ["read"]}
    assert of(deployed, "doctor") == reach
    assert not [who for who in ("operator", "rotator", "server") if set(of(deployed, who)) & set(reach)]
    base = f"coreflux-mcp-{manifest_of(deployed).stack}"
    own = {path for path in of(deployed, "operator") if path.startswith("sys/policies/acl/")}
    assert (
        own == {f"sys/policies/acl/{name}" for name in policies(deployed)} and f"sys/policies/acl/{base}-server" in own
    )


def test_nobody_of_the_stack_may_change_a_policy_or_a_role(deployed: Deployed) -> None:
    for paths in policies(deployed).values():
        for path, may in paths.items():
            harmless = path.startswith(("auth/token/", "sys/audit-hash/")) or "secret-id" in path
            if path.startswith(("sys/", "auth/")) and not harmless:
                reads = {"list"} if path == "sys/policies/acl" else {"sudo"} if path == "sys/audit" else set[str]()
                assert set(may) <= {"read", *reads}, path


def test_golden_file_has_every_policy_of_the_program() -> None:
    command = "python -m tests.unit.vault_stack > tests/unit/golden/vault-policies.txt"
    assert GOLDEN.read_text() == every_policy(), command


LOGIN = PROJECT_FOLDER / ".coreflux-mcp-local/login"


def roles(deployed: Deployed) -> dict[str, Any]:
    return {who: inputs(deployed, f"{who}-role") for who in ("server", "rotator")}


def rotators_login(deployed: Deployed) -> Any:
    return json.loads(inputs(deployed, "rotator")["files"]["config/secretops.json"])["store"]["login"]


@pytest.mark.parametrize("deployed", [by_agent, on_this_machine, with_every_option])
def test_a_token_has_its_own_policy_alone_and_ends_by_itself(deployed: Any) -> None:
    for who, role in roles(deployed()).items():
        assert role["tokenPolicies"] == [role["roleName"]]
        assert role["roleName"].endswith(f"-{who}")
        assert role["tokenNoDefaultPolicy"] is True
        assert 0 < role["tokenTtl"] <= role["tokenMaxTtl"] <= 86400


def test_pods_log_in_as_their_service_accounts_by_a_method_that_is_there() -> None:
    found = roles(by_agent())
    assert {one["backend"] for one in found.values()} == {"kubernetes"}
    assert found["server"]["boundServiceAccountNames"] == ["coreflux-mcp-server"]
    assert found["rotator"]["boundServiceAccountNames"] == ["coreflux-mcp-rotator"]
    assert {tuple(one["boundServiceAccountNamespaces"]) for one in found.values()} == {("coreflux-mcp",)}
    assert {one["audience"] for one in found.values()} == {"vault"}
    assert by_agent().of_type("vault:index/authBackend:AuthBackend") == []
    assert roles(by_external_secrets())["server"]["boundServiceAccountNames"] == ["coreflux-mcp-sync"]


def test_a_jwt_is_bound_to_issuer_audience_and_subject() -> None:
    made, found = inputs(with_every_option(), "jwt"), roles(with_every_option())
    assert (made["path"], made["oidcDiscoveryUrl"], made["boundIssuer"]) == ("coreflux-mcp-prod-jwt", ISSUER, ISSUER)
    assert found["server"]["boundSubject"] == "system:serviceaccount:coreflux-mcp:coreflux-mcp-server"
    assert found["rotator"]["boundSubject"] == "system:serviceaccount:coreflux-mcp:coreflux-mcp-rotator"
    assert (found["server"]["boundAudiences"], found["server"]["userClaim"]) == (["vault"], "sub")


def test_on_this_machine_a_role_id_is_known_and_a_secret_id_is_nowhere() -> None:
    found = roles(on_this_machine())
    assert found["server"]["backend"] == "coreflux-mcp-dev-approle"
    assert [found[who]["roleId"] for who in ("server", "rotator")] == [
        "coreflux-mcp-dev-server",
        "coreflux-mcp-dev-rotator",
    ]
    assert found["server"]["secretIdTtl"] == 90 * 86400
    folder = on_this_machine().resources["login"].inputs
    assert (folder["root"], folder["files"], folder["lines"]) == (str(LOGIN), {}, {})


def test_failed_renewal_keeps_the_secret_id(tmp_path: Path) -> None:
    files = {who: tmp_path / who for who in ("server", "rotator")}
    own = ", ".join(f"{who}_file: {file}" for who, file in files.items())
    commands = for_this_machine(f", approle: {{{own}}}").exports["next"]
    (script,) = re.findall(r"\(umask 077; .*?\)", commands)
    for write in ("echo new", "false"):
        subprocess.run(["sh", "-c", f"vault() {{ {write}; }}; {script}"], check=False)
        assert {file.read_text() for file in files.values()} == {"new\n"}


def test_only_the_server_unwraps_its_secret_id() -> None:
    deployed = for_this_machine(", namespace: plant, approle: {wrapped: true, server_file: /run/wrapped}")
    assert deployed.exports["references"]["source"] == (
        "vault:vault.example.com:8200/coreflux-mcp-dev/data/mqtt+agent-key,approle=coreflux-mcp-dev-server,"
        "auth=coreflux-mcp-dev-approle,file=/run/wrapped,wrapped,namespace=plant"
    )
    assert rotators_login(deployed)["wrapped"] is False, "a rotator logs in each hour"


ASKS = ", client_certificate: true"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ca_file(tmp_path_factory.mktemp("pki"))


def test_the_root_signs_one_intermediate_which_signs_no_further_ca() -> None:
    made = with_every_option()
    assert inputs(made, "root-mount")["path"] == "coreflux-mcp-prod-root"
    assert inputs(made, "pki-mount")["path"] == "coreflux-mcp-prod-pki"
    signs = inputs(made, "root-signs")
    assert (signs["backend"], signs["maxPathLength"]) == ("coreflux-mcp-prod-root", 0)
    assert int(signs["ttl"]) < int(inputs(made, "root-certificate")["ttl"])
    assert "stand-in's certificate" in inputs(made, "pki-signed")["certificate"]


def test_a_mount_is_changed_by_one_at_a_time_from_its_urls_to_what_it_signs() -> None:
    made = with_every_option().resources
    order = ("root-mount", "root-urls", "root-crl", "root-certificate", "root-signs", "pki-signed", "pki-client")
    for first, then in [*pairwise(order), ("pki-crl", "pki-request"), ("pki-request", "root-signs")]:
        assert first in made[then].depends_on, (first, then)


def test_issued_certificate_is_for_one_client_and_no_server() -> None:
    role = inputs(with_every_option(), "pki-client")
    assert role["allowedDomains"] == ["coreflux-mcp-prod"]
    assert role["allowBareDomains"] is True
    for wider in ("Subdomains", "GlobDomains", "AnyName", "Localhost", "IpSans", "WildcardCertificates"):
        assert role[f"allow{wider}"] is False
    assert (role["clientFlag"], role["serverFlag"]) == (True, False)
    assert (role["codeSigningFlag"], role["emailProtectionFlag"]) == (False, False)
    assert (role["keyUsages"], role["extKeyUsages"]) == (["DigitalSignature"], ["ClientAuth"])
    assert role["ttl"] == role["maxTtl"] == str(14 * 86400)


def test_external_ca_gets_the_request_and_supplies_the_certificate(pem: Path) -> None:
    waiting = for_pods(", pki: {signed_by: outside}", broker=ASKS)
    signed = for_pods(f', pki: {{signed_by: outside, certificate_file: "{pem}"}}', broker=ASKS)
    assert "stand-in's request" in waiting.exports["csr"]
    assert "store.pki.certificate_file" in waiting.exports["next"]
    assert "store.pki.certificate_file" not in signed.exports["next"]
    assert "pki-signed" not in waiting.resources
    assert inputs(signed, "pki-signed")["certificate"] == pem.read_text()
    assert not {"root-mount", "root-certificate", "root-signs"} & (waiting.resources.keys() | signed.resources.keys())
    assert wrong(waiting) == wrong(signed) == []
