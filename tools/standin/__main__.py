"""Run a stand-in: `python -m tools.standin PACKAGE VERSION [ENGINE]`. Pulumi runs it through the file that
choice.write_shim writes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from tools.standin.aws.provider import Aws
from tools.standin.azure.provider import Azure
from tools.standin.cloud import Cloud
from tools.standin.plugin import serve
from tools.standin.vault.provider import Vault

CLOUDS: Mapping[str, Callable[[str], Cloud]] = {"aws": Aws, "azure-native": Azure, "vault": Vault}


def main(arguments: list[str]) -> None:
    if len(arguments) < 2 or arguments[0] not in CLOUDS:  # noqa: PLR2004
        sys.exit(f"usage: python -m tools.standin {'|'.join(CLOUDS)} VERSION [ENGINE]; Pulumi starts it")
    package, version, *rest = arguments
    # The engine's address is the only argument without a dash.
    engine = next((word for word in rest if not word.startswith("-")), "")
    serve(CLOUDS[package](version), engine)


if __name__ == "__main__":
    main(sys.argv[1:])
