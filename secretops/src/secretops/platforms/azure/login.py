"""Log in to Azure, for one tenant alone: a container as its identity, a person as the person.

azure-identity tries a managed identity before `az login`, so that an operator on a virtual machine would be the machine
(https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains). So no managed identity is
tried without AZURE_CLIENT_ID, which each container of the stack has, or AZURE_TOKEN_CREDENTIALS.

azure-identity gets a person tokens for the tenant that a service names. A purged vault's name is free for any tenant: a
guest there would write a value into a stranger's vault. So tokens are of the stack's tenant alone.
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

# Variables that choose an identity or a credential; azure-identity reads both.
_IDENTITY_NAMED = frozenset({"AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"})


class Login:
    """A TokenCredential: azure-identity's own chain, which gives tokens of `tenant` alone.

    The launcher knows no tenant, and writes nothing: empty, the tenant is the one that the vault names.
    """

    def __init__(self, tenant: str = "") -> None:
        logging.getLogger("azure.identity").setLevel(logging.ERROR)  # its own warnings would say what we say
        excluded = {} if _IDENTITY_NAMED & os.environ.keys() else {"exclude_managed_identity_credential": True}
        self._tenant, self._chain = tenant.lower(), DefaultAzureCredential(**excluded)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """Return a token. Raises UsageError for another tenant, or without a login of the stack's; without a tenant, as
        azure-identity does."""
        asked = TokenRequestOptions(**(options or {}))
        if self._tenant:
            if (named := asked.get("tenant_id") or self._tenant).lower() != self._tenant:
                raise UsageError(
                    f"what answers for {scopes[0].removesuffix('/.default')} is of tenant {named}",
                    rule=f"the stack is of tenant {self._tenant}; no login is shown to another, and no value",
                    remedy="pulumi up says whether the vault, or the account of the lease, is still the stack's: once "
                    "purged its name is free for anybody",
                )
            asked["tenant_id"] = self._tenant
        try:
            return self._chain.get_token_info(*scopes, options=asked)
        except ClientAuthenticationError:
            if self._tenant:
                raise no_login(self._tenant) from None
            raise

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        """Return a token in the older form, which none of our clients uses."""
        info = self.get_token_info(*scopes)
        return AccessToken(info.token, info.expires_on)

    def close(self) -> None:
        """Close the connections."""
        self._chain.close()
