"""The secrets of a Coreflux MCP server, per stack: containers, grants, schedule, trail, references. Never a value."""

from __future__ import annotations

import gc
import sys

# Objects of the imports stay: collecting them takes a tenth of a preview.
gc.set_threshold(50_000)

import pulumi  # noqa: E402

from components.settings.settings import Settings  # noqa: E402
from components.stack import open_stack, run_preflight  # noqa: E402

TOLD = 32
"""Exit code by which Pulumi's language hosts know that the error has been shown (pulumi-language-python-exec)."""

try:
    settings = Settings.load()  # every error of the stack file at once, an impossible pair included
    run_preflight(settings)

    for name, told in open_stack(settings).items():
        pulumi.export(name, told)
except pulumi.RunError as error:
    # Pulumi's executor would tell it, too, and end as who tells nothing does: the CLI adds an unhandled error then.
    pulumi.log.error(str(error))
    sys.exit(TOLD)
