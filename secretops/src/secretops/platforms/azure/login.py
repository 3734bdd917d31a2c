"""Log in to Azure for one tenant: as a container's managed identity, or as a person.

azure-identity prefers the identity of a machine to `az login`. So this login excludes that identity unless
AZURE_CLIENT_ID or AZURE_TOKEN_CREDENTIALS is set. azure-identity returns tokens for any tenant that a service names,
and anybody may reuse the name of a purged vault. So this login accepts only the stack's tenant.
https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains
"""

from __future__ import annotations

import logging
import os
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from secretops.errors import UsageError
from secretops.platforms.azure.errors import no_login

# Variables by which azure-identity chooses an identity or a credential.
_IDENTITY_NAMED = frozenset({"AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"})
# Timeout in seconds for an attempt to get a token. The SDK's is 300, and it makes four attempts.
TOKEN_SECONDS = 10


class Login:
    """Gets tokens from azure-identity for `tenant`, or for any tenant if it is empty, as in the launcher."""

    def __init__(self, tenant: str = "") -> None:
        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # its warnings repeat our errors
        options: dict[str, Any] = {"connection_timeout": TOKEN_SECONDS, "read_timeout": TOKEN_SECONDS}
        if not _IDENTITY_NAMED & os.environ.keys():
            options["exclude_managed_identity_credential"] = True
        self._tenant, self._chain = tenant.lower(), DefaultAzureCredential(**options)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token. Raises UsageError if a service requires another tenant, and the error of `no_login`."""
        request = TokenRequestOptions(**(options or {}))
        if self._tenant:
            if (named := request.get("tenant_id") or self._tenant).lower() != self._tenant:
                service = scopes[0].removesuffix("/.default")
                raise UsageError(
                    f"{service} requires a login to tenant {named}",
                    rule=f"the vault and the storage account must belong to the stack's tenant, {self._tenant}; no "
                    "token and no secret value was sent",
                    remedy="pulumi preview --refresh shows whether the stack still owns its vault and storage "
                    "account: after a purge, anybody may create one of the same name",
                    code="azure-tenant-mismatch",
                )
            request["tenant_id"] = self._tenant
        try:
            return self._chain.get_token_info(*scopes, options=request)
        except ClientAuthenticationError:
            if self._tenant:
                raise no_login().filled(host=f"tenant {self._tenant}", code="ClientAuthenticationError") from None
            raise

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        info = self.get_token_info(*scopes)
        return AccessToken(info.token, info.expires_on)

    def close(self) -> None:
        self._chain.close()
