"""Deploy what the secrets of a Coreflux MCP server need, per stack: store, access grants, rotation schedule and access
trail, but no secret values."""

from __future__ import annotations

import gc
import os
import sys

# Without this, pydantic reads the metadata of every installed distribution for plugins.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# The program is short-lived, and garbage collection would take a tenth of a preview's time.
gc.disable()

import pulumi  # noqa: E402

from components.settings.settings import Settings  # noqa: E402
from components.stack import open_stack, run_preflight  # noqa: E402

# Exit code for Pulumi's language host if the error has already been printed (pulumi-language-python-exec).
REPORTED = 32

try:
    # Reports every error of the stack file at once, including an unsupported pair of store and server.
    settings = Settings.load()
    run_preflight(settings)

    for name, output in open_stack(settings).items():
        pulumi.export(name, output)
except pulumi.RunError as error:
    # If it were raised again, Pulumi's executor would print it twice, and the CLI would report an unhandled error.
    pulumi.log.error(str(error))
    sys.exit(REPORTED)
