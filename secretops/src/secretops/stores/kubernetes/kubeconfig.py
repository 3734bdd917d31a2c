"""Which API server, and as whom: a pod's service account, or the operator's kubeconfig as kubectl reads it.

lightkube takes one file, knows the exec plugins' API up to v1beta1, and keeps what a plugin asks a person to itself.
So the files are merged and a plugin is run here; everything else is lightkube's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import yaml
from lightkube import Client, KubeConfig, SingleConfig
from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SERVICE_ACCOUNT
from lightkube.config.models import Cluster, Context, User, UserExec
from lightkube.core.exceptions import ConfigError

from secretops.errors import UsageError

ANSWER_SECONDS = 10.0
"""How long one answer of the API server may take; connecting to it may take half of that."""

_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_UNKNOWN = {"as": "user", "proxy-url": "cluster", "tls-server-name": "cluster"}
"""Entries that lightkube passes over in silence, where that would change who we are or whom we speak to."""


@dataclass(frozen=True)
class Connection:
    """A client, and how to tell a person where it leads and as whom. Nothing has been asked of the server yet."""

    client: Client
    server: str
    identity: str


def connect(context: str | None, environment: Mapping[str, str] = os.environ) -> Connection:
    """As kubectl would: the files of KUBECONFIG, else in a pod its service account, else ~/.kube/config.

    Raises UsageError.
    """
    files = environment.get("KUBECONFIG")
    if not files and in_a_pod(environment):
        with _told("this pod's service account"):
            config = KubeConfig.from_service_account(SERVICE_ACCOUNT).get()
            if config is not None:
                return _open(config, "this pod's service account")
    return _from_files((files or DEFAULT_KUBECONFIG).split(os.pathsep), context)


def in_a_pod(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs in a pod that was given its service account."""
    return "KUBERNETES_SERVICE_HOST" in environment and Path(SERVICE_ACCOUNT).is_dir()


def _from_files(files: list[str], context: str | None) -> Connection:
    paths = [Path(file).expanduser() for file in files if file]
    named = os.pathsep.join(str(path) for path in paths)
    present = [path for path in paths if path.is_file()]
    if not present:
        raise UsageError(
            f"{named}: there is no kubeconfig",
            rule="outside a pod the API server is found by KUBECONFIG, else by ~/.kube/config",
            remedy="set KUBECONFIG, or let your cluster's own command write one",
        )
    merged = _merged(present)
    contexts = sorted(merged["contexts"])
    name = context or merged["current-context"]
    if name not in merged["contexts"]:
        raise UsageError(
            f"{named}: {f'no context {name}' if name else 'no current context'}",
            rule="the stack's context names one of the kubeconfig; without one the current one is taken",
            remedy=f"server.context: one of {', '.join(contexts) or '(there are none)'}",
        )
    with _told(f"{named}, context {name}"):
        return _connected(merged, name)


def _merged(paths: list[Path]) -> dict[str, Any]:
    """All files as one, each entry from the first that has it, as kubectl merges them."""
    merged: dict[str, Any] = {"current-context": None, **{section: {} for section in _SECTIONS}}
    for path in paths:
        with _told(str(path)):
            content = yaml.safe_load(path.read_bytes()) or {}
            merged["current-context"] = merged["current-context"] or content.get("current-context")
            for section, kind in _SECTIONS.items():
                for entry in content.get(section) or ():
                    facts = dict(entry[kind] or {})
                    for key in _PATHS:
                        if facts.get(key):
                            facts[key] = str(path.parent / facts[key])
                    merged[section].setdefault(entry["name"], facts)
    return merged


def _connected(merged: Mapping[str, Any], name: str) -> Connection:
    context = merged["contexts"][name]
    if missing := [
        f"{kind} {context[kind]}"
        for section, kind in (("clusters", "cluster"), ("users", "user"))
        if context.get(kind) and context[kind] not in merged[section]
    ]:
        raise UsageError(
            f"context {name} of the kubeconfig names {' and '.join(missing)}, which it does not have",
            rule="a context is a cluster and a user of the same kubeconfig",
            remedy="let your cluster's own command write the kubeconfig anew",
        )
    cluster, user = merged["clusters"].get(context.get("cluster"), {}), merged["users"].get(context.get("user"), {})
    if foreign := [key for key, kind in _UNKNOWN.items() if (user if kind == "user" else cluster).get(key)]:
        raise UsageError(
            f"context {name} of the kubeconfig sets {', '.join(foreign)}",
            rule="secretops can't do that, and does not go on without",
            remedy="give the stack a context that does without",
        )
    config = SingleConfig(
        context_name=name,
        context=Context(cluster=name),
        cluster=msgspec.convert(cluster, Cluster),
        user=msgspec.convert(user, User),
    )
    _check_server(config, name)
    if config.user and config.user.exec:
        config = config._replace(user=_by_plugin(config.user.exec))
    return _open(config, f"user {context.get('user') or '(none)'} of context {name}")


def _check_server(config: SingleConfig, name: str) -> None:
    """Values go over TLS to the server whose CA is known, or no further than this machine."""
    url = urlsplit(config.cluster.server)
    try:
        here = ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        here = url.hostname == "localhost"
    if (url.scheme != "https" or config.cluster.insecure) and not here:
        raise UsageError(
            f"context {name} of the kubeconfig: {config.cluster.server} "
            f"{'with insecure-skip-tls-verify' if url.scheme == 'https' else 'is not https'}",
            rule="values are sent over TLS, to a server that has proven who it is",
            remedy="give its cluster https and certificate-authority-data",
        )


def _by_plugin(plugin: UserExec) -> User:
    """The credential that an exec plugin gives now. What it asks a person goes to the terminal.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    asked = {"kind": "ExecCredential", "apiVersion": plugin.apiVersion, "spec": {"interactive": sys.stdin.isatty()}}
    environment = {**os.environ, **{entry.name: entry.value for entry in plugin.env or ()}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(asked)
    why = "gave no credential"
    try:
        done = subprocess.run(
            [plugin.command, *(plugin.args or ())],
            stdin=None if sys.stdin.isatty() else subprocess.DEVNULL,  # which may be a value
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
        )
        given = json.loads(done.stdout)["status"]
        user = User(
            token=given.get("token"),
            client_cert_data=_encoded(given.get("clientCertificateData")),
            client_key_data=_encoded(given.get("clientKeyData")),
        )
        if user.token or user.client_cert_data:
            return user
    except subprocess.CalledProcessError as error:
        why = f"ended with {error.returncode}"
    except OSError as error:
        why = f"can't be run: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UsageError(
        f"{plugin.command}, which the kubeconfig logs in with, {why}",
        rule="an exec plugin prints an ExecCredential",
        remedy=plugin.installHint or "run it by hand, or log in to your cloud again",
    )


def _encoded(pem: str | None) -> str | None:
    """PEM as a kubeconfig holds it."""
    return b64encode(pem.encode()).decode() if pem else None


def _open(config: SingleConfig, identity: str) -> Connection:
    timeout = httpx2.Timeout(ANSWER_SECONDS, connect=ANSWER_SECONDS / 2)
    client = Client(config, timeout=timeout, field_manager="secretops")
    return Connection(client, config.cluster.server, identity)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what lightkube and its parsers raise into a UsageError. Their texts may quote a credential."""
    try:
        yield
    except (ConfigError, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, httpx2.InvalidURL):
        raise UsageError(
            f"{what}: does not read as a way to an API server",
            rule="a kubeconfig of kind Config v1, whose certificates and keys are PEM and are there",
            remedy="find out what is wrong with: kubectl config view, kubectl version",
        ) from None
