"""Which API server, and as whom: a pod's service account, or the operator's kubeconfig as kubectl reads it.

lightkube takes one file, knows the exec plugins' API up to v1beta1, and keeps what a plugin asks a person to itself.
So the files are merged and a plugin is run here; everything else is lightkube's.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
import msgspec
from lightkube import Client, KubeConfig, SingleConfig
from lightkube.config.models import Cluster, Context, User, UserExec
from lightkube.core.exceptions import ConfigError

from secretops.errors import UsageError
from secretops.platforms.kubernetes import kubeconfig
from secretops.platforms.kubernetes.kubeconfig import Chosen

ANSWER_SECONDS = 10.0
"""How long one answer of the API server may take; connecting to it may take half of that."""

_read_as_kubeconfig = functools.partial(kubeconfig.read_as_kubeconfig, also=(ConfigError, httpx2.InvalidURL))


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
    chosen = kubeconfig.chosen(context, environment)
    if chosen is None:
        who = "this pod's service account"
        with _read_as_kubeconfig(who):
            if config := KubeConfig.from_service_account(kubeconfig.SERVICE_ACCOUNT).get():
                return _open(config, who)
            raise ConfigError(who)
    with _read_as_kubeconfig(chosen.said):
        return _connected(chosen)


def _connected(chosen: Chosen) -> Connection:
    config = SingleConfig(
        context_name=chosen.name,
        context=Context(cluster=chosen.name),
        cluster=msgspec.convert(chosen.cluster, Cluster),
        user=msgspec.convert(chosen.user, User),
    )
    if config.user and config.user.exec:
        config = config._replace(user=_by_plugin(config.user.exec))
    return _open(config, chosen.who)


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
