"""Reads a kubeconfig as kubectl does: merges its files and chooses the context. A preview uses it without a client."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from secretops.errors import UsageError

DEFAULT_KUBECONFIG = "~/.kube/config"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_DEFAULT_SERVER = "http://localhost:8080"

_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
# Entries that lightkube ignores, although they change the identity or the server.
_UNKNOWN = {"as": "user", "proxy-url": "cluster", "tls-server-name": "cluster"}


@dataclass(frozen=True)
class Chosen:
    """A context of a kubeconfig, with its cluster and user. `said` and `who` name it and the user in messages."""

    name: str
    said: str
    who: str
    cluster: Mapping[str, Any] = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)  # with its token or key


def chosen(context: str | None, environment: Mapping[str, str] = os.environ) -> Chosen | None:
    """Return that context, or the current one; None in a pod that has a service account. Raises UsageError."""
    files = environment.get("KUBECONFIG")
    if not files and in_a_pod(environment):
        return None
    paths = [Path(file).expanduser() for file in (files or DEFAULT_KUBECONFIG).split(os.pathsep) if file]
    named = os.pathsep.join(str(path) for path in paths)
    present = [path for path in paths if path.is_file()]
    if not present:
        raise UsageError(
            f"{named}: there is no kubeconfig",
            rule="outside a pod the API server is found by KUBECONFIG, else by ~/.kube/config",
            remedy="set KUBECONFIG, or let your cluster's own command write one",
        )
    merged = _merged(present)
    contexts = sorted(map(str, merged["contexts"]))
    name = context or merged["current-context"]
    if name not in merged["contexts"]:
        raise UsageError(
            f"{named}: {f'no context {name}' if name else 'no current context'}",
            rule="the stack's context names one of the kubeconfig; without one the current one is taken",
            remedy=f"server.context: one of {', '.join(contexts) or '(there are none)'}",
        )
    with read_as_kubeconfig(said := f"{named}, context {name}"):
        return _of(merged, name, said)


def in_a_pod(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this process runs in a pod that has its service account mounted."""
    return "KUBERNETES_SERVICE_HOST" in environment and Path(SERVICE_ACCOUNT).is_dir()


def _merged(paths: list[Path]) -> dict[str, Any]:
    """Merge files as kubectl does: each entry is taken from the first file that has it."""
    merged: dict[str, Any] = {"current-context": None, **{section: {} for section in _SECTIONS}}
    for path in paths:
        with read_as_kubeconfig(str(path)):
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


def _of(merged: Mapping[str, Any], name: str, said: str) -> Chosen:
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
    _check_server(cluster, name)
    who = f"user {context.get('user') or '(none)'} of context {name}"
    return Chosen(name, said, who, cluster, user)


def _check_server(cluster: Mapping[str, Any], name: str) -> None:
    """Raise UsageError unless the server is reached by TLS with a known CA, or is this machine."""
    server, insecure = cluster.get("server", _DEFAULT_SERVER), cluster.get("insecure-skip-tls-verify", False)
    url = urlsplit(server)
    try:
        here = ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        here = url.hostname == "localhost"
    if (url.scheme != "https" or insecure) and not here:
        raise UsageError(
            f"context {name} of the kubeconfig: {url.scheme or '(no scheme)'}://{url.hostname or ''} "
            f"{'with insecure-skip-tls-verify' if url.scheme == 'https' else 'is not https'}",
            rule="values are sent over TLS, to a server that has proven who it is",
            remedy="give its cluster https and certificate-authority-data",
        )


@contextlib.contextmanager
def read_as_kubeconfig(what: str, *, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn errors of parsers, and `also` of a client, into a UsageError. Their texts may quote a credential."""
    known: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError)
    try:
        yield
    except known + also:
        raise UsageError(
            f"{what}: does not read as a way to an API server",
            rule="a kubeconfig of kind Config v1, whose certificates and keys are PEM and are there",
            remedy="find out what is wrong with: kubectl config view, kubectl version",
        ) from None
