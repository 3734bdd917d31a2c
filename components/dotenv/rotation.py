"""Run `secretops tick` by a systemd user timer."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from secretops.manifest import Manifest
from secretops.stores.files import MANIFEST, TIMER, UNITS

_SERVICE = """\
[Unit]
Description=Rotate the secrets of the Coreflux MCP server, stack {stack}

[Service]
Type=oneshot
TimeoutStartSec=30min
ExecStart={secretops} tick --scheduled --manifest {manifest}
NoNewPrivileges=yes
UMask=0077
# A core dump would hold values.
LimitCORE=0
"""


def rotator_files(root: Path, manifest: Manifest) -> dict[str, str]:
    """Return the texts of the manifest, a service unit and its timer, by path below `root`."""
    words = {
        "stack": manifest.stack,
        "secretops": _quoted(Path(sys.prefix) / "bin" / "secretops"),
        "manifest": _quoted(root / MANIFEST).replace("$", "$$"),  # systemd would expand variables
    }
    return {
        str(MANIFEST): manifest.model_dump_json(indent=1) + "\n",
        f"{UNITS}/{_unit(manifest.stack)}.service": _SERVICE.format(**words),
        f"{UNITS}/{_unit(manifest.stack)}.timer": TIMER.format(**words),
    }


def turn_on(root: Path, stack: str) -> str:
    units = root / UNITS / _unit(stack)
    service, timer = shlex.quote(f"{units}.service"), shlex.quote(f"{units}.timer")
    return f"systemctl --user link {service} && systemctl --user enable --now {timer}"


def _quoted(path: Path) -> str:
    """Quote `path` for a systemd unit's command line, and escape % (man systemd.service)."""
    text = str(path).replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return f'"{text}"'


def _unit(stack: str) -> str:
    return f"coreflux-mcp-secrets-{stack}"
