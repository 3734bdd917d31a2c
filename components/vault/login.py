"""How server and rotator log in to Vault, and where what they show lies. What it says is never here."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Literal

from ..dotenv.settings import LocalServer
from ..kubernetes.settings import KubernetesServer
from ..settings.section import PROJECT_FOLDER, ServerSection
from ..swarm.settings import SwarmServer
from .names import ROTATOR, SERVER, names_of
from .settings import VaultAppRole, VaultJwt, VaultKubernetes, VaultStore

Who = Literal["server", "rotator"]

POD_TOKEN = "/var/run/secrets/vault/token"  # noqa: S105  # nosec B105 - a path
"""Where a pod finds the token of its service account that it shows Vault."""

IN_A_CONTAINER = "/run/secrets/login/server"
"""Where a Swarm's container finds what an operator made a secret of (components/swarm/server_spec.py)."""

LOGIN_FOLDER = "login"
"""Below the folder of a client's entry, or of the rotator: for what whoever runs on this machine logs in with."""

VaultMethod = VaultAppRole | VaultJwt | VaultKubernetes
METHODS: dict[type[VaultMethod], Literal["approle", "jwt", "kubernetes"]] = {
    VaultAppRole: "approle",
    VaultJwt: "jwt",
    VaultKubernetes: "kubernetes",
}


def login_of(store: VaultStore, server: ServerSection) -> VaultMethod:
    """How server and rotator log in, said or not."""
    said = store.approle or store.jwt or store.kubernetes
    return said or (VaultKubernetes() if isinstance(server, KubernetesServer) else VaultAppRole())


def home(server: ServerSection) -> Path:
    """Where a rotator that ticks on this machine has its files: beside the client's entry, else below the project."""
    return server.entry_folder if isinstance(server, LocalServer) else PROJECT_FOLDER / ".coreflux-mcp-rotator"


def login_file(login: VaultMethod, server: ServerSection, who: Who) -> str:
    """Where `who` finds what it shows."""
    if isinstance(server, KubernetesServer):
        return POD_TOKEN
    if isinstance(server, SwarmServer) and who == SERVER:
        return IN_A_CONTAINER
    said = None
    if not isinstance(login, VaultKubernetes):
        said = login.server_file if who == SERVER else login.rotator_file
    return said or str(home(server) / LOGIN_FOLDER / who)


def before_a_tick(store: VaultStore, server: LocalServer | SwarmServer, stack: str) -> str:
    """What an operator does, so that server and rotator can log in: no program of the stack's has what they show."""
    names, login = names_of(stack), login_of(store, server)
    files = {who: login_file(login, server, who) for who in (SERVER, ROTATOR)}
    if isinstance(login, VaultKubernetes):
        raise TypeError(f"server {server.kind}: has no service account to log in as")
    if isinstance(login, VaultJwt):
        return f"lay the tokens of {login.server} and {login.rotator} into {files[SERVER]} and {files[ROTATOR]}"
    program = "bao" if store.product == "openbao" else "vault"
    roles = f"auth/{names.auth(METHODS[VaultAppRole])}/role"
    asked = dict.fromkeys(files, "-field=secret_id")
    if isinstance(server, SwarmServer):  # its secret was there before the role was
        del asked[SERVER]
    elif login.wrapped:
        asked[SERVER] = "-wrap-ttl=1h -field=wrapping_token"
    asks = [
        f"{program} write -f {how} {roles}/{names.of(who)}/secret-id > {shlex.quote(files[who])}"
        for who, how in asked.items()
    ]
    done = f"(umask 077; {'; '.join(asks)})"
    if isinstance(server, SwarmServer):
        told = "-field=secret_id_accessor"  # else the answer shows the secret id
        custom = f"{program} write {told} {roles}/{names.of(SERVER)}/custom-secret-id secret_id=@FILE"
        return f"{custom} (of which the Swarm's secret {server.login} was made), then {done}"
    return done
