"""Is there a Vault token on this machine? By environment and files alone, without asking a server.

Run by hand it prints where it is from, or nothing: `python -m tools.standin.vault.credentials`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

TOKEN = "VAULT_TOKEN"  # noqa: S105  # nosec B105 - a variable's name


def source(environment: Mapping[str, str] = os.environ) -> str:
    """Where Pulumi's provider would take a token from: `VAULT_TOKEN`, or the file that `vault login` writes; nothing
    if there is none. A token helper of Vault's own configuration is not resource: `STANDIN=never` does without."""
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
