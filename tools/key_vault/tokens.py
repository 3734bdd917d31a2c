"""A stand-in for Microsoft Entra ID's tokens, signed with a key that is generated at run time.

Claims are those of access tokens of version 1.0, which Key Vault and Storage accept.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt

# Lifetime of a token in seconds; in Azure it is 60 to 90 minutes.
LIFE = 3600


@dataclass(frozen=True)
class Principal:
    """A service principal or managed identity. Role assignments refer to its object id `oid`."""

    name: str
    oid: str = field(default_factory=lambda: str(uuid.uuid4()))
    # Client id, with which a workload selects an identity (AZURE_CLIENT_ID).
    appid: str = field(default_factory=lambda: str(uuid.uuid4()))


class RefusedTokenError(Exception):
    """An invalid token. The text has the reason, but not the token."""


class Authority:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.tenant, self.clock = str(uuid.uuid4()), clock
        self._key = secrets.token_bytes(32)

    @property
    def issuer(self) -> str:
        return f"https://sts.windows.net/{self.tenant}/"

    def issue(self, principal: Principal, audience: str, *, life: int = LIFE) -> str:
        """Return an access token for an audience such as `https://vault.azure.net`. `life` is in seconds, and negative
        for an expired token."""
        now = int(self.clock())
        claims = {
            "aud": audience,
            "iss": self.issuer,
            "iat": min(now, now + life),
            "nbf": min(now, now + life) - 300,
            "exp": now + life,
            "appid": principal.appid,
            "idtyp": "app",
            "oid": principal.oid,
            "sub": principal.oid,
            "tid": self.tenant,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._key, algorithm="HS256")

    def read(self, token: str, audience: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                issuer=self.issuer,
                audience=[audience, audience + "/"],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidAudienceError:
            raise RefusedTokenError(f"AKV10022: Invalid audience. Expected {audience}") from None
        except jwt.InvalidIssuerError:
            raise RefusedTokenError("AKV10032: Invalid issuer.") from None
        except jwt.InvalidTokenError:
            raise RefusedTokenError("Error validating token.") from None
        if not claims["nbf"] <= self.clock() < claims["exp"]:
            raise RefusedTokenError("[TokenExpired] Error validating token.")
        return claims
