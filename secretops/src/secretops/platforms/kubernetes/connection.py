"""Connects to the API server, by a pod's service account or by the operator's kubeconfig as kubectl reads it.

lightkube reads one file, knows the exec plugins' API up to v1beta1, and hides the prompt of a plugin. So files are
merged and plugins are run here.
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

from secretops.errors import StoreError, UsageError
from secretops.platforms.kubernetes import kubeconfig

# Seconds that one answer of the API server may take; connecting to it may take half of that.
ANSWER_SECONDS = 10.0

_read_as_kubeconfig = functools.partial(kubeconfig.read_as_kubeconfig, also=(ConfigError, httpx2.InvalidURL))


@dataclass(frozen=True)
class Connection:
    """A client that has not sent anything yet, and its server and identity for messages."""

    client: Client
    server: str
    identity: str

    def not_accepted(self, proof: str) -> StoreError:
        """Return the error for an identity that the server does not accept. `proof`: a command that shows it does."""
        return StoreError(
            f"the API server at {self.server} does not accept {self.identity}",
            rule="it answered 401: the credential is wrong or has expired",
            remedy=f"log in to the cluster again until this works: {proof}",
        )


def connect(context: str | None, environment: Mapping[str, str] = os.environ) -> Connection:
    """Connect as kubectl does: by KUBECONFIG, in a pod a service account, else ~/.kube/config. Raises UsageError."""
    chosen = kubeconfig.chosen(context, environment)
    if chosen is None:
        who = "this pod's service account"
        with _read_as_kubeconfig(who):
            if config := KubeConfig.from_service_account(kubeconfig.SERVICE_ACCOUNT).get():
                return _open(config, who)
            raise ConfigError(who)
    with _read_as_kubeconfig(chosen.said):
        user = msgspec.convert(chosen.user, User)
        config = SingleConfig(
            context_name=chosen.name,
            context=Context(cluster=chosen.name),
            cluster=msgspec.convert(chosen.cluster, Cluster),
            user=_by_plugin(user.exec) if user.exec else user,
        )
        return _open(config, chosen.who)


def _by_plugin(plugin: UserExec) -> User:
    """Return the credential that an exec plugin prints. Its prompts go to the terminal.

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
            client_cert_data=b64encode((given.get("clientCertificateData") or "").encode()).decode() or None,
            client_key_data=b64encode((given.get("clientKeyData") or "").encode()).decode() or None,
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


def _open(config: SingleConfig, identity: str) -> Connection:
    timeout = httpx2.Timeout(ANSWER_SECONDS, connect=ANSWER_SECONDS / 2)
    client = Client(config, timeout=timeout, field_manager="secretops")
    return Connection(client, config.cluster.server, identity)
