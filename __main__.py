"""Deploy the secrets of a Coreflux MCP server, per stack: containers, grants, schedule, trail and references, but no
secret values."""

from __future__ import annotations

import gc
import os
import sys

# Without this, pydantic reads the metadata of every installed distribution for plugins.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# The program ends with the preview or update. Collecting would take a tenth of a preview.
gc.disable()

import pulumi  # noqa: E402

from components.settings.settings import Settings  # noqa: E402
from components.stack import open_stack, run_preflight  # noqa: E402

# Exit code by which Pulumi's language hosts know that the error has been shown (pulumi-language-python-exec).
REPORTED = 32

try:
    settings = Settings.load()  # every error of the stack file at once, an impossible pair included
    run_preflight(settings)

    for name, output in open_stack(settings).items():
        pulumi.export(name, output)
except pulumi.RunError as error:
    # Raised further, Pulumi's executor would print it again, and the CLI would add an unhandled error.
    pulumi.log.error(str(error))
    sys.exit(REPORTED)
