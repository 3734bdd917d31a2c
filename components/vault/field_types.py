"""What the entries of Vault's sections may be, in a stack file."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from secretops.formats import parse_https_url
from secretops.platforms.vault.location import VAULT_PATH

from ..settings.constraints import is_one_line, matching, parsed, satisfying

VaultAddress = Annotated[
    str,
    parsed(
        parse_https_url,
        "the server's URL: https, a host, a port unless it is 443, and no path",
        "write it like https://vault.example.com:8200; values travel by TLS alone",
        is_host=True,
    ),
]
VaultPath = Annotated[
    str,
    matching(
        VAULT_PATH,
        "a path of Vault: letters, digits, dashes, dots and underscores, no slash at its ends",
        "write it as vault auth list shows it, without the slash at its end",
    ),
]
VaultNamespace = Annotated[
    str,
    matching(
        VAULT_PATH,
        "a namespace's path, no slash at its ends",
        "take it out for the root namespace",
    ),
]
VaultReader = Annotated[
    str,
    matching(
        rf"{VAULT_PATH}/(?!\.{{1,2}}$)[\w.@-]+",
        "an auth method's mount and a name there, as the audit log has them",
        "write it like userpass/alice",
    ),
]
JwtIssuer = Annotated[
    str,
    parsed(
        partial(parse_https_url, path=True),
        "the URL of who signs the tokens, below which Vault finds .well-known/openid-configuration",
        "kubectl get --raw /.well-known/openid-configuration shows a cluster's",
        is_host=True,
    ),
]
Subject = Annotated[
    str,
    satisfying(
        lambda text: is_one_line(text) and " " not in text,
        "the claim sub of a token, without spaces",
        "write it as the token has it",
    ),
]
AuditFile = Annotated[
    str,
    matching(
        r"stdout|/[\w./-]+",
        "a path on the Vault server, or stdout",
        "write the whole path, from / on; the server's account has to be able to write there",
    ),
]
