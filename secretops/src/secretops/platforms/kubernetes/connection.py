"""Connect to the API server as a pod's service account, or with a kubeconfig as kubectl reads it.

secretops merges files and runs exec plugins itself: lightkube reads one file, and supports plugins up to v1beta1.
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

# Timeout in seconds for each response of the API server. Half of it is for the connection.
ANSWER_SECONDS = 10.0

_parsing = functools.partial(kubeconfig.parsing, also=(ConfigError, httpx2.InvalidURL))


def _invalid_account(source: str) -> UsageError:
    return UsageError(
        f"{source}: the token or CA file is missing or invalid",
        rule=f"a pod must have the token and the CA of its service account in {kubeconfig.SERVICE_ACCOUNT}",
        remedy="check that automountServiceAccountToken is not false (kubectl get pod NAME -o yaml), then restart the "
        "pod",
        code="service-account-invalid",
    )


@dataclass(frozen=True)
class Connection:
    client: Client
    server: str
    identity: str
    # Whether an exec plugin made the credential, which may expire while a command runs.
    by_plugin: bool = False

    def login_rejected(self, test: str) -> StoreError:
        """Return the error for status 401. `test`: a command that succeeds once the login works."""
        return StoreError(
            f"the API server at {self.server} does not accept the credential of {self.identity}",
            rule="the credential must be valid: status 401 means that the credential is wrong or expired",
            remedy=f"log in to the cluster again, then check the login: {test}",
            code="kubernetes-login-rejected",
        )


def connect(context: str | None, environment: Mapping[str, str] = os.environ) -> Connection:
    """Connect with KUBECONFIG. If it is not set: in a pod as its service account, elsewhere with ~/.kube/config. Raises
    UsageError."""
    selected = kubeconfig.select_context(context, environment)
    if selected is None:
        identity = "this pod's service account"
        with _parsing(identity, invalid=_invalid_account):
            if config := KubeConfig.from_service_account(kubeconfig.SERVICE_ACCOUNT).get():
                return _open(config, identity)
            raise ConfigError(identity)
    with _parsing(selected.source):
        user = msgspec.convert(selected.user, User)
        config = SingleConfig(
            context_name=selected.name,
            context=Context(cluster=selected.name),
            cluster=msgspec.convert(selected.cluster, Cluster),
            user=_run_plugin(user.exec) if user.exec else user,
        )
        return _open(config, selected.identity, by_plugin=user.exec is not None)


def _run_plugin(plugin: UserExec) -> User:
    """Run an exec plugin.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """
    info = {"kind": "ExecCredential", "apiVersion": plugin.apiVersion, "spec": {"interactive": sys.stdin.isatty()}}
    environment = {**os.environ, **{entry.name: entry.value for entry in plugin.env or ()}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(info)
    why = "printed no credential"
    try:
        done = subprocess.run(
            [plugin.command, *(plugin.args or ())],
            stdin=None if sys.stdin.isatty() else subprocess.DEVNULL,  # standard input may contain a secret value
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
        )
        status = json.loads(done.stdout)["status"]
        user = User(
            token=status.get("token"),
            client_cert_data=b64encode((status.get("clientCertificateData") or "").encode()).decode() or None,
            client_key_data=b64encode((status.get("clientKeyData") or "").encode()).decode() or None,
        )
        if user.token or user.client_cert_data:
            return user
    except subprocess.CalledProcessError as error:
        why = f"exited with {error.returncode}"
    except OSError as error:
        why = f"can't be run: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    hint = plugin.installHint
    raise UsageError(
        f"{plugin.command}, the exec plugin of the kubeconfig, {why}",
        rule="an exec plugin must print a credential (ExecCredential)",
        remedy=hint
        or f"log in to your cloud again; then run {plugin.command} with its arguments from the kubeconfig, to "
        "see why it fails",
        code="kubeconfig-plugin-failed",
    )


def _open(config: SingleConfig, identity: str, *, by_plugin: bool = False) -> Connection:
    timeout = httpx2.Timeout(ANSWER_SECONDS, connect=ANSWER_SECONDS / 2)
    client = Client(config, timeout=timeout, field_manager="secretops")
    return Connection(client, config.cluster.server, identity, by_plugin)
