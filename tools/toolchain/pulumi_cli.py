"""Find the pinned Pulumi CLI on PATH, or build it from Go modules into the user's cache.

Pulumi publishes binaries only on its site.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.steps import ROOT, run_step, say, write_whole
from tools.toolchain.gobuild import GO_SETTINGS, cached_binary, cached_path, find_go

VERSION = "3.274.1"
SDK = "github.com/pulumi/pulumi/sdk/v3"
MODULE = ROOT / "tools/toolchain/pulumi-cli"
# Without it `pulumi version` prints nothing and the Automation API rejects the CLI.
BUILD = (
    "pulumi",
    MODULE,
    "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    f"-X {SDK}/go/common/version.Version=v{VERSION}",
)
# Pulumi's language host for YAML, with its own version. A test runs a program in another language with it.
_YAML = "github.com/pulumi/pulumi-yaml"
YAML_HOST = (
    "pulumi-language-yaml",
    ROOT / "tools/toolchain/pulumi-language-yaml",
    f"{_YAML}/cmd/pulumi-language-yaml",
    f"-X {_YAML}/pkg/version.Version=v1.25.0",
)
HOST = "pulumi-language-python"
# Text at the start of every clone's `.venv/bin/pulumi`, which may be on PATH but is not the CLI.
WRAPPER_MARK = "coreflux-mcp-secrets: the pinned Pulumi"

# Files of Pulumi's SDK for Python programs and dynamic resources, which must be next to the CLI.
FROM_THE_SDK = ("python/cmd/pulumi-language-python-exec", "python/dist/pulumi-resource-pulumi-python")

HOST_SHIM = """#!/bin/sh
# The small Python language host of the clone whose .venv/bin/pulumi runs this; it is not Pulumi's official one.
if [ -z "${COREFLUX_CLONE:-}" ]; then
    echo "run Pulumi through .venv/bin/pulumi of a clone of coreflux-mcp-secrets" >&2
    exit 1
fi
exec "$COREFLUX_CLONE/.venv/bin/python" "$COREFLUX_CLONE/tools/toolchain/language_host/pulumi_language_python.py" \\
    --executor "${0%/*}/pulumi-language-python-exec" "$@"
"""


@dataclass(frozen=True, kw_only=True)
class PulumiCli:
    """A Pulumi CLI. `built`: built here, with the language host in tools/toolchain/language_host."""

    path: Path
    built: bool


def on_path() -> list[Path]:
    """Return each readable `pulumi` on PATH, except clones' wrappers."""
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
    """Return the pinned CLI on PATH if its language host is there, too; otherwise build it. Raises SetupError."""
    for path in on_path():
        version = version_of(path)
        if version != VERSION:
            say(f"- not used: {path} is Pulumi {version or 'unknown'}, not {VERSION}")
        elif not (path.resolve().with_name(HOST).exists() or shutil.which(HOST)):
            say(f"- not used: {path} has no {HOST}")
        else:
            say(f"- Pulumi {VERSION}: {path}")
            return PulumiCli(path=path, built=False)
    cli = complete(cached_binary(*BUILD))
    say(f"- Pulumi {VERSION}, built from Go modules:\n  {cli}")
    say("  Its Python language host is the small one in tools/toolchain/language_host.")
    say("  Pulumi's official one is in no package registry.")
    return PulumiCli(path=cli, built=True)


def expected_build() -> Path:
    """Return the path of our build, which may not exist yet. The folder's name contains a digest of HOST_SHIM."""
    cli = cached_path(*BUILD)
    shim = hashlib.sha256(HOST_SHIM.encode()).hexdigest()[:8]
    return cli.parent.with_name(f"{cli.parent.name}-{shim}") / cli.name


def complete(build: Path) -> Path:
    """Link the built CLI into a folder with its other files, HOST_SHIM last. Return the link. Raises SetupError."""
    cli = expected_build()
    shim = cli.with_name(HOST)
    if shim.exists():
        return cli
    listed = run_step(
        "the Python part of Pulumi's SDK, from its Go module",
        [find_go(MODULE), "list", "-m", "-f", "{{.Dir}}", SDK],
        cwd=MODULE,
        env=GO_SETTINGS,
        remedy="check that this machine reaches a Go module proxy (GOPROXY)",
    )
    for name in FROM_THE_SDK:
        source = Path(listed.splitlines()[-1]) / name
        write_whole(cli.with_name(source.name), source.read_text(), mode=0o755)
    with contextlib.suppress(FileExistsError):  # by another set-up
        cli.hardlink_to(build)
    write_whole(shim, HOST_SHIM, mode=0o755)
    return cli


def version_of(cli: Path) -> str:
    """Return the output of `pulumi version` without its v, or "" if it fails."""
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
