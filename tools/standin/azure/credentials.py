"""Find Azure credentials in the environment and files, without the network.

`python -m tools.standin.azure.credentials` prints where they come from, or nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

# Settings that make pulumi-azure-native use another login than Azure's CLI, in its order (auth_azidentity.go). A switch
# is on if it is `true`. The provider reads AZURE_ variables only if the first switch is on, and a token only if
# ARM_USE_OIDC is on.
NAMES = (
    "ARM_USE_DEFAULT_AZURE_CREDENTIAL",
    "ARM_CLIENT_CERTIFICATE_PATH",
    "ARM_CLIENT_SECRET",
    "ARM_USE_OIDC",
    "ARM_USE_MSI",
)


def source(environment: Mapping[str, str] = os.environ) -> str:
    """Return the source of credentials, e.g. `ARM_CLIENT_SECRET` or `az login`, or "".

    The identity of a virtual machine is detected only by ARM_USE_MSI. Without it, use `STANDIN=never`.
    """
    for name in NAMES:
        entry = environment.get(name, "")
        if entry == "true" or (entry and not name.startswith("ARM_USE_")):
            return name
    return "az login" if _logged_in(environment) else ""


def _logged_in(environment: Mapping[str, str]) -> bool:
    # `az logout` removes the subscriptions. The provider ignores the login of a service principal (Pulumi, Azure Native
    # Installation & Configuration).
    home = environment.get("AZURE_CONFIG_DIR") or Path(environment.get("HOME") or Path.home()) / ".azure"
    try:
        profile = json.loads((Path(home) / "azureProfile.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return False
    found = profile.get("subscriptions") if isinstance(profile, dict) else None
    return any(_is_a_users(one) for one in found or ())


def _is_a_users(subscription: object) -> bool:
    user = subscription.get("user") if isinstance(subscription, dict) else None
    return not (isinstance(user, dict) and user.get("type") == "servicePrincipal")


if __name__ == "__main__":
    print(source())
