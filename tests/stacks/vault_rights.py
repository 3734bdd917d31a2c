"""What each role of a Vault stack may, as the page says it, and how the server is asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

import requests

from tests.real.openbao import OpenBao

Rights = dict[str, frozenset[str]]
"""Path -> capabilities, of all that somebody may. What is not in it he may not."""

METHODS = {"read": "GET", "list": "LIST", "delete": "DELETE", "patch": "PATCH", "update": "POST"}
"""How each is asked for. A create is a POST, too: whether it is one, is the server's to find out."""

REFUSED = (HTTPStatus.FORBIDDEN, HTTPStatus.METHOD_NOT_ALLOWED)
"""The second: nobody may, for the path knows no such method."""

OWN_TOKEN: Rights = {
    "auth/token/lookup-self": frozenset({"read"}),
    "auth/token/renew-self": frozenset({"update"}),
    "auth/token/revoke-self": frozenset({"update"}),
}

TAKES_AWAY = ("secret-id/destroy", "secret-id-accessor/destroy")

DATA, NOTES = frozenset({"create", "read", "update"}), frozenset({"create", "read", "update", "patch"})


def servers(mount: str, secrets: Iterable[str], *, polls: bool) -> Rights:
    """It reads what is current of its own secrets; one that polls looks at the number of the newest version, too."""
    kinds = ("data", "metadata") if polls else ("data",)
    return OWN_TOKEN | {f"{mount}/{kind}/{name}": frozenset({"read"}) for kind in kinds for name in secrets}


def rotators(place: Mapping[str, str], current: Iterable[str], pending: Iterable[str]) -> Rights:
    """It writes each secret by its name, destroys old versions, and removes what was pending. It lists nothing."""
    mount, lease = place["mount"], place["lease"]
    rights = {f"{mount}/data/{lease}": DATA, f"{mount}/metadata/{lease}": NOTES}
    for path in (*current, *pending):
        rights |= {f"{mount}/data/{path}": DATA, f"{mount}/metadata/{path}": NOTES}
    rights |= {f"{mount}/destroy/{path}": frozenset({"update"}) for path in current}
    for path in pending:
        rights[f"{mount}/metadata/{path}"] = NOTES | {"delete"}
    return OWN_TOKEN | rights


def capabilities(openbao: OpenBao, token: str, paths: Iterable[str]) -> Rights:
    """The server's own answer, without the paths on which nothing is allowed."""
    answered = openbao.client().write_data("sys/capabilities", data={"token": token, "paths": sorted(paths)})["data"]
    found = {path: frozenset(answered[path]) for path in paths}
    return {path: may for path, may in found.items() if may != {"deny"}}


def not_denied(openbao: OpenBao, token: str, paths: Iterable[str], rights: Rights) -> list[str]:
    """Of all that is not in `rights`, what the server does not refuse when it is really asked for."""
    let_through = []
    with requests.Session() as session:
        session.trust_env = False  # else a CA bundle of the environment takes the place of this one
        session.verify = str(openbao.ca_file)
        session.headers.update({"X-Vault-Token": token, "Content-Type": "application/merge-patch+json"})
        for path in sorted(paths):
            may = rights.get(path, frozenset())
            for capability, method in METHODS.items():
                if capability in may or (capability == "update" and "create" in may):
                    continue
                if path.endswith("/") and capability != "list":  # nobody's: the server calls that no path at all
                    continue
                answer = session.request(method, f"{openbao.address}/v1/{path}", data="{}", timeout=120)
                if answer.status_code not in REFUSED:
                    let_through.append(f"{capability} {path}: {answer.status_code}")
    return let_through


OTHERS = ("", "pending/", "rotator/", "another", "pending/another", "a/b")
"""Paths that no secret of the stack has."""

OF_A_ROLE = ("secret-id", "custom-secret-id", "secret-id-accessor/lookup", "role-id", *TAKES_AWAY)


def everything(base: str, place: Mapping[str, str], paths: Iterable[str]) -> set[str]:
    """What may be asked for: each kind of path of the mount, with what is beside and above it, what gives rights."""
    mount = place["mount"]
    kinds = ("data", "metadata", "destroy", "undelete", "delete", "subkeys")
    roles = [f"auth/{base}-approle/role/{base}-{who}" for who in ("server", "rotator")]
    names = {
        *(f"{mount}/{kind}/{path}" for kind in kinds for path in (*paths, *OTHERS, place["lease"])),
        *(f"{mount}/config", f"sys/mounts/{mount}", f"sys/mounts/{mount}/tune"),
        *(f"secret/data/{base}", "cubbyhole/a", "identity/entity", "sys/raw/logical", "sys/seal", "sys/wrapping/wrap"),
        *(f"sys/policies/acl/{base}-{who}" for who in ("server", "rotator", "operator", "another")),
        *("sys/policies/acl", "sys/auth", f"sys/auth/{base}-approle", "sys/audit", "sys/audit/third"),
        *(f"sys/audit-hash/{device}" for device in ("first", "second")),
        *(f"sys/policies/password/{base}", f"sys/policies/password/{base}/generate"),
        *(one for role in roles for one in (role, *(f"{role}/{what}" for what in OF_A_ROLE))),
        *("auth/token/create", "auth/token/create-orphan", "auth/token/lookup", "auth/userpass/users/alice"),
        *(f"{base}-pki/{what}" for what in ("issue/client", "sign/client", "sign-verbatim", "roles/client")),
        *(f"{base}-pki/{what}" for what in ("config/crl", "config/ca", "revoke", "root")),
        *(f"{base}-root/{what}" for what in ("root/sign-intermediate", "root/sign-self-issued", "issue/client")),
    }
    return names | OWN_TOKEN.keys()
