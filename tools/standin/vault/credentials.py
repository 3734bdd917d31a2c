"""Find a Vault token in the environment and files, without a server.

`python -m tools.standin.vault.credentials` prints where it comes from, or nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

TOKEN = "VAULT_TOKEN"  # noqa: S105  # nosec B105 - a variable's name


def source(environment: Mapping[str, str] = os.environ) -> str:
    """Return the source of the provider's token: `VAULT_TOKEN`, the file of `vault login`, or "".

    Token helpers are not detected: use `STANDIN=never` for them.
    """
    if environment.get(TOKEN):
        return TOKEN
    home = environment.get("HOME") or str(Path.home())
    file = Path(home) / ".vault-token"
    try:
        return str(file) if file.read_text().strip() else ""
    except (OSError, ValueError):
        return ""


if __name__ == "__main__":
    print(source())
