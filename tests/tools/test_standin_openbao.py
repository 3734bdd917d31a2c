"""What the stand-in for Vault's provider makes in a real OpenBao: the table of requests. tests/stacks send them."""

from __future__ import annotations

import pytest

from tests.unit.vault_stack import with_every_option
from tools.standin.cloud import RefusedError
from tools.standin.vault import places
from tools.standin.vault.openbao import VARIABLE, OpenBao

ROOT = "vault:pkiSecret/secretBackendRootCert:SecretBackendRootCert"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8200", "https://vault.example.com:8200", "https://10.0.0.1:8200"])
def test_a_server_of_anybody_elses_is_refused(url: str) -> None:
    with pytest.raises(RefusedError, match=rf"on this machine; give an https address of loopback \({VARIABLE}\)"):
        OpenBao(url)


def test_each_type_that_the_program_declares_has_a_place_in_the_api() -> None:
    declared = {one.type for one in with_every_option().resources.values() if one.type.startswith("vault:")}
    assert len(declared) > 8
    assert declared <= places.PLACES.keys()


def test_a_type_that_nobody_has_looked_up_is_refused_by_its_name() -> None:
    with pytest.raises(RefusedError, match="vault:index/token:Token: where it lies"):
        places.of("vault:index/token:Token")


def test_a_key_that_would_leave_the_server_is_refused() -> None:
    with pytest.raises(RefusedError, match="private key into Pulumi's state; take `internal`"):
        places.of(ROOT).body({"backend": "root", "type": "exported", "commonName": "a"})


@pytest.mark.parametrize(
    ("token", "inputs", "path", "body"),
    [
        (
            "vault:index/mount:Mount",
            {"path": "a", "type": "kv", "options": {"version": "2"}, "maxLeaseTtlSeconds": 60.0},
            "sys/mounts/a",
            {"type": "kv", "options": {"version": "2"}, "config": {"max_lease_ttl": 60}},
        ),
        (
            "vault:kv/secretBackendV2:SecretBackendV2",
            {"mount": "a", "maxVersions": 5.0, "casRequired": True, "deleteVersionAfter": 0.0},
            "a/config",
            {"max_versions": 5, "cas_required": True, "delete_version_after": "0s"},
        ),
        (
            "vault:appRole/authBackendRole:AuthBackendRole",
            {"roleName": "r", "roleId": "r", "tokenTtl": 60.0, "secretIdBoundCidrs": ["10.0.0.0/8"]},
            "auth/approle/role/r",
            {"token_ttl": 60, "secret_id_bound_cidrs": ["10.0.0.0/8"]},
        ),
        (
            "vault:jwt/authBackendRole:AuthBackendRole",
            {"backend": "j", "roleName": "r", "userClaim": "sub", "boundAudiences": ["vault"]},
            "auth/j/role/r",
            {"role_type": "oidc", "user_claim": "sub", "bound_audiences": ["vault"]},
        ),
        (
            ROOT,
            {"backend": "root", "type": "internal", "commonName": "a", "altNames": ["b", "c"], "ttl": "1h"},
            "root/root/generate/internal",
            {"common_name": "a", "alt_names": "b,c", "ttl": "1h"},
        ),
    ],
    ids=["mount", "kv", "approle", "jwt", "root"],
)
def test_inputs_are_sent_under_the_names_of_the_api(
    token: str, inputs: dict[str, object], path: str, body: dict[str, object]
) -> None:
    place = places.of(token)
    assert place.path(place.at, inputs) == path
    assert place.body(inputs) == body
