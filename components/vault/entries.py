"""What the entries of Vault's sections may be, in a stack file."""

from __future__ import annotations

from typing import Annotated

from components.constraints import matching
from components.entries import HOST

VaultAddress = Annotated[
    str,
    matching(
        rf"https://{HOST}(:\d{{1,5}})?",
        "the server's URL: https, a host, a port unless it is 443, and no path",
        "write it like https://vault.example.com:8200; values travel by TLS alone",
    ),
]
VaultPath = Annotated[
    str,
    matching(
        r"[\w.-]+(/[\w.-]+)*",
        "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends",
        "write it as vault auth list shows it, without the slash at its end",
    ),
]
VaultNamespace = Annotated[
    str,
    matching(
        r"[\w.-]+(/[\w.-]+)*",
        "a namespace's path, no slash at its ends",
        "take it out for the root namespace",
    ),
]
VaultReader = Annotated[
    str,
    matching(
        r"[\w.-]+(/[\w.@-]+)+",
        "an auth method's mount and a name there, as the audit log has them",
        "write it like userpass/alice",
    ),
]
JwtIssuer = Annotated[
    str,
    matching(
        r"https://[\w.-]+(:\d{1,5})?(/[\w.-]+)*/?",
        "the URL of who signs the tokens, below which Vault finds .well-known/openid-configuration",
        "kubectl get --raw /.well-known/openid-configuration shows a cluster's",
    ),
]
Subject = Annotated[str, matching(r"\S+", "the claim sub of a token, without spaces", "write it as the token has it")]
AuditFile = Annotated[
    str,
    matching(
        r"stdout|/[\w./-]+",
        "a path on the Vault server, or stdout",
        "write the whole path, from / on; the server's account has to be able to write there",
    ),
]
