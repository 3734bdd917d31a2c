"""Merge the files of a kubeconfig, and select a context, as kubectl does."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from secretops.errors import UsageError

DEFAULT_KUBECONFIG = "~/.kube/config"
# Remedy for a kubeconfig that is missing or wrong.
WRITE_KUBECONFIG = "write the kubeconfig again, for example: aws eks update-kubeconfig --name CLUSTER"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_DEFAULT_SERVER = "http://localhost:8080"

_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_SECTIONS = {"clusters": "cluster", "contexts": "context", "users": "user"}
# Keys that change the identity or the server, and that lightkube ignores.
_UNSUPPORTED = {"as": "user", "proxy-url": "cluster", "tls-server-name": "cluster"}


@dataclass(frozen=True)
class SelectedContext:
    """A kubeconfig's context. `source` and `identity` are for error messages."""

    name: str
    source: str
    identity: str
    cluster: Mapping[str, Any] = field(repr=False)
    user: Mapping[str, Any] = field(repr=False)  # includes a token or key


def select_context(context: str | None, environment: Mapping[str, str] = os.environ) -> SelectedContext | None:
    """Return a kubeconfig's context, by default the current one. Return None in a pod without KUBECONFIG. Raises
    UsageError."""
    files = environment.get("KUBECONFIG")
    if not files and in_a_pod(environment):
        return None
    paths = [Path(file).expanduser() for file in (files or DEFAULT_KUBECONFIG).split(os.pathsep) if file]
    source = os.pathsep.join(str(path) for path in paths)
    present = [path for path in paths if path.is_file()]
    if not present:
        raise UsageError(
            f"{source}: no such kubeconfig",
            rule="outside a pod, a kubeconfig must be at the path in KUBECONFIG, or at ~/.kube/config",
            remedy="set KUBECONFIG to the path of a kubeconfig; or write one, for example: aws eks update-kubeconfig "
            "--name CLUSTER",
            code="kubeconfig-missing",
        )
    merged = _merged(present)
    contexts = sorted(map(str, merged["contexts"]))
    name = context or merged["current-context"]
    if name not in merged["contexts"]:
        raise UsageError(
            f"{source}: {f'no context {name}' if name else 'no current context'}",
            rule="server.context must name a context of the kubeconfig; the default is the current one",
            remedy=f"set server.context in the stack file to one of {', '.join(contexts)}"
            if contexts
            else WRITE_KUBECONFIG,
            code="kubeconfig-context-unknown",
        )
    with parsing(source := f"{source}, context {name}"):
        return _checked(merged, name, source)


def in_a_pod(environment: Mapping[str, str] = os.environ) -> bool:
    return "KUBERNETES_SERVICE_HOST" in environment and Path(SERVICE_ACCOUNT).is_dir()


def _merged(paths: list[Path]) -> dict[str, Any]:
    merged: dict[str, Any] = {"current-context": None, **{section: {} for section in _SECTIONS}}
    for path in paths:
        with parsing(str(path)):
            content = yaml.safe_load(path.read_bytes()) or {}
            merged["current-context"] = merged["current-context"] or content.get("current-context")
            for section, kind in _SECTIONS.items():
                for entry in content.get(section) or ():
                    facts = dict(entry[kind] or {})
                    for key in _PATHS:
                        if facts.get(key):
                            facts[key] = str(path.parent / facts[key])
                    if os.sep in ((login := facts.get("exec") or {}).get("command") or ""):
                        facts["exec"] = {**login, "command": str(path.parent.absolute() / login["command"])}
                    merged[section].setdefault(entry["name"], facts)
    return merged


def _checked(merged: Mapping[str, Any], name: str, source: str) -> SelectedContext:
    context = merged["contexts"][name]
    parts = {kind: merged[f"{kind}s"].get(context.get(kind)) for kind in ("cluster", "user")}
    if missing := [f"{kind} {context[kind]}" for kind, found in parts.items() if context.get(kind) and found is None]:
        raise UsageError(
            f"context {name} names {' and '.join(missing)}, which the kubeconfig does not define",
            rule="the kubeconfig must define the cluster and the user of its context",
            remedy=WRITE_KUBECONFIG,
            code="kubeconfig-entry-missing",
        )
    cluster, user = parts["cluster"] or {}, parts["user"] or {}
    if unsupported := [key for key, kind in _UNSUPPORTED.items() if (parts[kind] or {}).get(key)]:
        raise UsageError(
            f"context {name} of the kubeconfig sets {', '.join(unsupported)}",
            rule="the cluster and the user of the context must not have keys that secretops does not support",
            remedy="set server.context in the stack file to a context without these keys",
            code="kubeconfig-key-unsupported",
        )
    url = urlsplit(cluster.get("server", _DEFAULT_SERVER))
    try:
        is_local = ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        is_local = url.hostname == "localhost"
    if (url.scheme != "https" or cluster.get("insecure-skip-tls-verify", False)) and not is_local:
        raise UsageError(
            f"context {name} of the kubeconfig: {url.scheme or '(no scheme)'}://{url.hostname or ''} "
            f"{'with insecure-skip-tls-verify' if url.scheme == 'https' else 'is not https'}",
            rule="secret values are only sent to an API server with TLS and a certificate that can be verified",
            remedy="in the kubeconfig, set server (https://…) and certificate-authority-data of the context's cluster",
            code="kubeconfig-server-insecure",
        )
    return SelectedContext(name, source, f"user {context.get('user') or '(none)'} of context {name}", cluster, user)


def _invalid(source: str) -> UsageError:
    return UsageError(
        f"{source}: not a readable, valid kubeconfig",
        rule="a kubeconfig must have kind: Config, apiVersion: v1, and a valid address; its certificates and keys must "
        "exist, and be PEM",
        remedy="check the file: kubectl config view; then check the connection: kubectl version",
        code="kubeconfig-invalid",
    )


@contextlib.contextmanager
def parsing(
    source: str, *, also: tuple[type[Exception], ...] = (), invalid: Callable[[str], UsageError] = _invalid
) -> Iterator[None]:
    """Raise `invalid` for a parser's error in the block, or for `also`. Omits the error's text, which may quote a
    credential."""
    known: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError)
    try:
        yield
    except known + also:
        raise invalid(source) from None
