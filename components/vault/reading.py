"""How a server reaches what lies in Vault: the launcher asks, an agent lays files, or External Secrets copies."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from secretops.manifest import Secret

from ..core.broker import ca_bundle
from ..core.references import Fetched, InjectedFiles, SyncedKey
from ..swarm.principals import STORE_CA_FILE
from .names import Names
from .principals import VaultReader, VaultRole

VERSION = "secretops-version"
"""The key of a document that says which version it is (secretops.platforms.vault.api)."""

CA_FILE = "vault-ca.crt"
AGENTS_TOKEN = "/var/run/secrets/vault.hashicorp.com/serviceaccount/token"  # noqa: S105  # nosec B105 - a path
"""Where the injector mounts that volume for the agent, and no other container."""

LOOKS_EVERY = "30s"
"""The agent's look for a new version; its own default is 5 minutes."""


def by_launcher(role: VaultRole, names: Names, secrets: Sequence[str], *, in_container: bool) -> Fetched:
    """Return where the launcher fetches, what, and how it logs in (docs/operations/launcher.md)."""
    login, ca_file = role.login, role.place.ca_file
    source = f"vault:{urlsplit(role.place.address).netloc}/{names.mount}/data/{'+'.join(secrets)}"
    options = [f"{login.method}={login.role}", f"auth={login.mount}", f"file={login.file}"]
    options += ["wrapped"] if login.wrapped else []
    options += [f"namespace={role.place.namespace}"] if role.place.namespace else []
    options += [f"ca={STORE_CA_FILE if in_container else ca_file}"] if ca_file else []
    return Fetched(source=",".join([source, *options]), secrets=tuple(secrets), ca_file=ca_file)


def by_external_secrets(reader: VaultReader, names: Names, secrets: Sequence[str]) -> SyncedKey:
    """Return where External Secrets reads, and as which account (external-secrets.io, HashiCorp Vault)."""
    role, ca_file = reader.reads, reader.reads.place.ca_file
    account: dict[str, Any] = {"name": reader.syncs_as}
    if role.audience:
        account["audiences"] = [role.audience]
    if role.login.method == "jwt":
        auth: dict[str, Any] = {
            "jwt": {
                "path": role.login.mount,
                "role": role.name,
                "kubernetesServiceAccountToken": {
                    "serviceAccountRef": {"name": reader.syncs_as},
                    "audiences": [role.audience],
                    "expirationSeconds": 600,
                },
            }
        }
    else:
        auth = {"kubernetes": {"mountPath": role.login.mount, "role": role.name, "serviceAccountRef": account}}
    vault: dict[str, Any] = {"server": role.place.address, "path": names.mount, "version": "v2", "auth": auth}
    if role.place.namespace:
        vault["namespace"] = role.place.namespace
    if ca_file:
        vault["caBundle"] = base64.b64encode(ca_bundle(ca_file).encode()).decode()
    remotes = {one: one for one in secrets}
    return SyncedKey(provider={"vault": vault}, secrets=tuple(secrets), remotes=remotes, version=VERSION)


def by_agent(role: VaultRole, names: Names, secrets: Sequence[Secret], *, run_as: str) -> InjectedFiles:
    """Return the annotations that have the injector add an agent (HashiCorp, Agent Sidecar Injector annotations).

    The agent writes one JSON document per secret, so that no reader sees a torn pair. It only reads: a `pkiCert`
    template would issue a certificate at each retry (docs/adr/0011). It runs as the launcher's user, which alone may
    read the files.
    """
    from ..kubernetes.pods import SECRETS_FOLDER, STACK_FOLDER, TOKEN, USER

    ca_file = role.place.ca_file
    user = {"agent-run-as-user": str(USER), "agent-run-as-group": str(USER)}
    if run_as == "platform":  # which gives all containers of a pod one
        user = {"agent-set-security-context": "false"}
    asked = {
        "agent-inject": "true",
        "agent-pre-populate": "false",  # the pod starts without values, and says what it waits for
        "agent-revoke-on-shutdown": "true",
        **user,
        "agent-service-account-token-volume-name": TOKEN,
        "auth-type": role.login.method,
        "auth-path": f"auth/{role.login.mount}",
        "role": role.name,
        "service": role.place.address,
        "secret-volume-path": SECRETS_FOLDER,
        # What has no value yet is asked for again, and no reason to end the agent: the others' files go on.
        "template-config-exit-on-retry-failure": "false",
        "template-static-secret-render-interval": LOOKS_EVERY,
        "agent-limits-cpu": "250m",
        "agent-limits-mem": "128Mi",
        "agent-requests-cpu": "25m",
        "agent-requests-mem": "64Mi",
        "agent-requests-ephemeral": "64Mi",
    }
    if role.login.method == "jwt":  # of the other one the injector knows where the token lies
        asked |= {"auth-config-path": AGENTS_TOKEN, "auth-config-remove-jwt-after-reading": "false"}
    if role.place.namespace:
        asked["namespace"] = role.place.namespace
    if ca_file:
        asked |= {"ca-cert": f"{STACK_FOLDER}/{CA_FILE}", "agent-copy-volume-mounts": "server"}
    for secret in secrets:
        asked |= _file(secret.name, f"{names.mount}/data/{secret.name}", document(names, secret))
    read = tuple(secret.name for secret in secrets)
    return InjectedFiles(
        source=f"json:{SECRETS_FOLDER}/",  # with its slash: a folder, which the injector brings
        secrets=read,
        annotations={f"vault.hashicorp.com/{key}": entry for key, entry in asked.items()},
        files={CA_FILE: ca_bundle(ca_file)} if ca_file else {},
        address=role.place.address,
        token_for=role.audience,
    )


def document(names: Names, secret: Secret) -> str:
    """Return the agent's template of one secret, in the form of the launcher's json: source."""
    fields = {field: f"index .Data.data {json.dumps(field)}" for field in secret.fields}
    fields["version"] = f"index .Data.data {json.dumps(VERSION)}"
    inner = ",".join(f"{json.dumps(field)}:{{{{ {where} | toJSON }}}}" for field, where in fields.items())
    read = f'secret "{names.mount}/data/{secret.name}"'
    return f"{{{{ with {read} }}}}{{{json.dumps(secret.name)}:{{{inner}}}}}{{{{ end }}}}"


def _file(name: str, path: str, template: str) -> dict[str, str]:
    return {
        f"agent-inject-secret-{name}": path,
        f"agent-inject-template-{name}": template,
        f"agent-inject-file-{name}": f"{name}.json",
        f"agent-inject-perms-{name}": "0400",
    }
