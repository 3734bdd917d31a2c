"""Log in to Azure, for one tenant alone: a container as its identity, a person as the person.

azure-identity tries a managed identity before `az login`
(https://learn.microsoft.com/azure/developer/python/sdk/authentication/credential-chains), so that an operator on a
virtual machine would be the machine. The stack gives each of its containers AZURE_CLIENT_ID; without that variable no
managed identity is tried, unless AZURE_TOKEN_CREDENTIALS says which credentials are.

azure-identity lets a person's login (`az login`) follow each service into the tenant that the service itself names. A
vault's name is free for any tenant once it was purged, so that a guest there would put a value into a stranger's vault.
A managed identity is of one tenant anyway.
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
        """What a client asks for. Raises UsageError where it was told another tenant, or no login is of the stack's;
        for the launcher, as azure-identity does."""
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
        """The older form, which none of our clients asks for."""
        info = self.get_token_info(*scopes)
        return AccessToken(info.token, info.expires_on)

    def close(self) -> None:
        """Let the connections go."""
        self._chain.close()
