"""Find the pinned Pulumi CLI on PATH, or have it built from Go modules into the user's cache.

Pulumi publishes its CLI as a download from its own site; no wheel or npm package holds it. Its source is a Go module,
so a machine that reaches nothing but package registries can still have the exact version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.gobuild import GO_SETTINGS, cached_binary, cached_path, find_go
from tools.steps import ROOT, run_step, say, write_whole

VERSION = "3.274.1"
SDK = "github.com/pulumi/pulumi/sdk/v3"
MODULE = ROOT / "tools/pulumi-cli"
# Without the version `pulumi version` prints nothing and the Automation API refuses the CLI.
BUILD = (
    "pulumi",
    MODULE,
    "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    f"-X {SDK}/go/common/version.Version=v{VERSION}",
)
HOST = "pulumi-language-python"
WRAPPER_MARK = "coreflux-mcp-secrets: the pinned Pulumi"
"""In the head of every clone's `.venv/bin/pulumi`. With a venv active that lies on PATH, and is not the CLI."""

FROM_THE_SDK = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")
"""What Pulumi's SDK has for Python programs and dynamic resources; it belongs beside the CLI and is copied there."""

HOST_SHIM = """#!/bin/sh
# The small Python language host of the clone whose .venv/bin/pulumi runs this; it is not Pulumi's official one.
if [ -z "${COREFLUX_CLONE:-}" ]; then
    echo "run Pulumi through .venv/bin/pulumi of a clone of coreflux-mcp-secrets" >&2
    exit 1
fi
exec "$COREFLUX_CLONE/.venv/bin/python" "$COREFLUX_CLONE/tools/language_host/pulumi_language_python.py" \\
    --executor "${0%/*}/pulumi-language-python-exec" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """A CLI that is there. `built` is true for our own build, which has the small language host beside it."""

    path: Path
    built: bool


def on_path() -> list[Path]:
    """Return each `pulumi` on PATH but the wrappers of clones. A folder or a file that can't be read is passed over."""
    return [path for folder in os.get_exec_path() if _is_cli(path := Path(folder) / "pulumi")]


def _is_cli(path: Path) -> bool:
    try:
        if not (path.is_file() and os.access(path, os.X_OK)):
            return False
        with path.open("rb") as file:
            return WRAPPER_MARK.encode() not in file.read(400)
    except OSError:
        return False


def find_or_build() -> PulumiCli:
    """The pinned CLI of PATH if its language host is there too, else our own build. Raises SetupError."""
    for path in on_path():
        version = version_of(path)
        if version != VERSION:
            say(f"- not used: {path} is Pulumi {version or 'unknown'}, not {VERSION}")
        elif not (path.resolve().with_name(HOST).exists() or shutil.which(HOST)):
            say(f"- not used: {path} has no {HOST}")
        else:
            say(f"- Pulumi {VERSION}: {path}")
            return PulumiCli(path=path, built=False)
    cli = cached_binary(*BUILD)
    complete(cli.parent)
    say(f"- Pulumi {VERSION}, built from Go modules: {cli}")
    say("  Its Python language host is the small one in tools/language_host. It stands")
    say("  in for Pulumi's official one, which no package registry has.")
    return PulumiCli(path=cli, built=True)


def expected_build() -> Path:
    """Where our own build of these lock files is, there or not."""
    return cached_path(*BUILD)


def complete(folder: Path) -> None:
    """Put what the CLI wants beside itself into its folder of the cache. The shim comes last: it says all is there."""
    shim = folder / HOST
    if shim.exists() and shim.read_text() == HOST_SHIM:
        return
    listed = run_step(
        "the Python part of Pulumi's SDK, from its Go module",
        [find_go(MODULE), "list", "-m", "-f", "{{.Dir}}", SDK],
        cwd=MODULE,
        env=GO_SETTINGS,
        remedy="check that this machine reaches a Go module proxy (GOPROXY)",
    )
    for name in FROM_THE_SDK:
        source = Path(listed.splitlines()[-1]) / name
        write_whole(folder / source.name, source.read_text(), mode=0o755)
    write_whole(shim, HOST_SHIM, mode=0o755)


def version_of(cli: Path) -> str:
    """What `pulumi version` says without its v, or nothing when it does not run."""
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = subprocess.run(
            [cli, "version"],
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().removeprefix("v")
