"""Clients of the Azure stand-ins that any process can make from its environment, and that survive a fork.

A forked process must not reuse its parent's connections: TLS counts the records of each end.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import requests
from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.secrets import SecretClient
from azure.storage.blob import BlobClient

from secretops.platforms.azure import api, lease

DEADLINE = 600.0


class OwnConnections(RequestsTransport):  # type: ignore[misc]  # the SDK has no type for it
    """The SDK's transport, with separate connections in each process. Calls `around_write` around each write."""

    # Called before and after each write, in the process that sends it.
    around_write: ClassVar[list[Callable[[], None]]] = []

    def __init__(self, ca: str) -> None:
        super().__init__(connection_verify=ca, use_env_settings=False, read_timeout=DEADLINE)
        self._process = os.getpid()

    def send(self, request: Any, **options: Any) -> Any:
        if self._process != os.getpid():
            self.session, self._process = None, os.getpid()
            self._has_been_opened = False
            self.open()
        writes = request.method not in ("GET", "HEAD")
        for each in list(self.around_write) if writes else ():
            each()
        answer = super().send(request, **options)
        for each in list(self.around_write) if writes else ():
            each()
        return answer


@dataclass(frozen=True)
class ByEndpoint:
    """A TokenCredential for the managed identity of an environment. It works in any process."""

    environment: dict[str, str]

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        info = self.get_token_info(*scopes)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:  # noqa: ARG002
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                self.environment["IDENTITY_ENDPOINT"],
                params={
                    "resource": scopes[0].removesuffix("/.default"),
                    "client_id": self.environment["AZURE_CLIENT_ID"],
                },
                headers={"X-IDENTITY-HEADER": self.environment["IDENTITY_HEADER"]},
                timeout=DEADLINE,
            ).json()
        return AccessTokenInfo(answer["access_token"], int(answer["expires_on"]))

    def close(self) -> None: ...


@dataclass(frozen=True)
class AzureClients:
    """Clients for `environment` (tests.real.azure.Azure.environment). They retry as the product's clients do."""

    environment: dict[str, str]

    def vault(self, url: str, **options: Any) -> SecretClient:
        return SecretClient(url, self._credential, **{**api.policies(), **self._options, **options})

    def blob(self, url: str, **options: Any) -> BlobClient:
        requested = {"credential": self._credential, "retry_policy": lease.retry_policy(), **self._options, **options}
        return BlobClient.from_blob_url(url, **requested)

    @property
    def _credential(self) -> ByEndpoint:
        return ByEndpoint(self.environment)

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "transport": OwnConnections(self.environment["REQUESTS_CA_BUNDLE"]),
            "proxies": {"https": self.environment["HTTPS_PROXY"]},
        }
