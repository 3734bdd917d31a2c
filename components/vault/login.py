"""How server and rotator log in to Vault, and in which files they find what they show. The contents are never here."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pulumi

from ..core.principals import Pods, Workload
from ..swarm.principals import LOGIN_FILE, SwarmService
from .names import ROTATOR, SERVER, names_of

Who = Literal["server", "rotator"]

POD_TOKEN = "/var/run/secrets/vault/token"  # noqa: S105  # nosec B105 - a path
"""Where a pod finds the token of its service account that it shows Vault."""

LOGIN_FOLDER = "login"
"""Below the folder of a client's entry, or of the rotator: for what programs of this machine log in with."""


@dataclass(frozen=True, kw_only=True)
class AppRoleLogin:
    """Log in by AppRole. Vault makes each secret id when an operator asks for one."""

    server_file: str | None = None
    """File with the server's secret id; None is login/server below the folder."""
    rotator_file: str | None = None
    wrapped: bool = False
    """Whether the server's file has a wrapping token, which is good for one start."""
    networks: Sequence[pulumi.Input[str]] = ()
    """From where a secret id is accepted; everywhere if empty."""
    days: int = 90
    """How long a secret id is good."""


@dataclass(frozen=True, kw_only=True)
class JwtLogin:
    """Log in by a signed token, of a cluster or another issuer."""

    issuer: pulumi.Input[str]
    ca_file: str | None = None
    """PEM file that signs the issuer's certificate; None leaves it to the Vault server."""
    audience: str = "vault"
    server: str | None = None
    """The claim sub of the server's token; that of a pod is known."""
    rotator: str | None = None
    server_file: str | None = None
    """File with that token; None is login/server below the folder."""
    rotator_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class ServiceAccountLogin:
    """Log in as a service account, by a Kubernetes auth method that is enabled already."""

    mount: str = "kubernetes"
    audience: str | None = "vault"
    """Of the pods' tokens; None is the API server's own."""


VaultMethod = AppRoleLogin | JwtLogin | ServiceAccountLogin
METHODS: dict[type[VaultMethod], Literal["approle", "jwt", "kubernetes"]] = {
    AppRoleLogin: "approle",
    JwtLogin: "jwt",
    ServiceAccountLogin: "kubernetes",
}


def login_file(login: VaultMethod, who: Who, *, workload: type[Workload], folder: str) -> str:
    """Return the file with what `who` shows."""
    if issubclass(workload, Pods):
        return POD_TOKEN
    if issubclass(workload, SwarmService) and who == SERVER:
        return LOGIN_FILE
    chosen = None
    if not isinstance(login, ServiceAccountLogin):
        chosen = login.server_file if who == SERVER else login.rotator_file
    return chosen or str(Path(folder) / LOGIN_FOLDER / who)


def before_a_tick(
    login: VaultMethod, stack: str, *, workload: type[Workload], folder: str, program: str, swarm_secret: str | None
) -> str:
    """Return how an operator lets server and rotator log in: no program of the stack has what they show.

    `program` is vault or bao; `swarm_secret` is the Swarm's secret that the server logs in with.
    """
    names = names_of(stack)
    roles: tuple[Who, ...] = (SERVER, ROTATOR)
    files = {who: login_file(login, who, workload=workload, folder=folder) for who in roles}
    if isinstance(login, ServiceAccountLogin):
        raise TypeError(f"{workload.__name__}: has no service account to log in as")
    if isinstance(login, JwtLogin):
        return f"lay the tokens of {login.server} and {login.rotator} into {files[SERVER]} and {files[ROTATOR]}"
    path = f"auth/{names.auth(METHODS[AppRoleLogin])}/role"
    asked = dict.fromkeys(files, "-field=secret_id")
    if swarm_secret:  # which was there before the role was
        del asked[SERVER]
    elif login.wrapped:
        asked[SERVER] = "-wrap-ttl=1h -field=wrapping_token"
    asks = [
        f"{program} write -f {how} {path}/{names.of(who)}/secret-id > {shlex.quote(files[who])}"
        for who, how in asked.items()
    ]
    done = f"(umask 077; {'; '.join(asks)})"
    if swarm_secret:
        told = "-field=secret_id_accessor"  # else the answer shows the secret id
        custom = f"{program} write {told} {path}/{names.of(SERVER)}/custom-secret-id secret_id=@FILE"
        return f"{custom} (of which the Swarm's secret {swarm_secret} was made), then {done}"
    return done
