"""The platforms by kind, imported on use. No other module names a platform or imports one statically.

A platform is an entry here, and a folder whose `platform.py` defines PLATFORM (`secretops.platform.Platform`).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secretops.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The module of a platform, and optionally a launcher source, a certificate issuer and a command group."""

    module: str
    # Scheme for the launcher's --from, and the format of what follows the colon.
    source: tuple[str, str] | None = None
    # Kind of the certificate issuer.
    issuer: str | None = None
    # Name of the command group.
    command: str | None = None
    # The platform's own command-line program.
    program: str = ""


_HERE = "secretops.platforms"

# Kind of a store -> its platform. The kind is also the extra that installs the platform's client.
PLATFORMS: dict[str, Entry] = {
    "dotenv": Entry(module=f"{_HERE}.dotenv.platform", source=("dotenv", "<folder of the store>")),
    "kubernetes": Entry(module=f"{_HERE}.kubernetes.platform", program="kubectl"),
    "aws": Entry(
        module=f"{_HERE}.aws.platform",
        source=("aws-sm", "<region>/<start of the names>/<secret>[+<secret>…]"),
        issuer="aws-private-ca",
        program="aws",
    ),
    "azure": Entry(
        module=f"{_HERE}.azure.platform", source=("azure-kv", "<vault's host>/<secret>[+<secret>…]"), program="az"
    ),
    "vault": Entry(
        module=f"{_HERE}.vault.platform",
        source=("vault", "<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]"),
        issuer="vault",
        program="bao",
    ),
    "swarm": Entry(module=f"{_HERE}.swarm.platform", command="export", program="docker"),
}


def find(kind: str) -> Any:
    """Return the PLATFORM for a kind of store, without importing the platform's Python package. Raises KeyError."""
    return importlib.import_module(PLATFORMS[kind].module).PLATFORM


def commands() -> dict[str, Any]:
    return {entry.command: find(kind).commands() for kind, entry in PLATFORMS.items() if entry.command}


def sources() -> dict[str, str]:
    """Map the scheme of each launcher source to the form of its location."""
    return dict(entry.source for entry in PLATFORMS.values() if entry.source)


def find_source(scheme: str) -> Any:
    """Return the PLATFORM for a scheme of --from. Raises StopIteration."""
    return find(next(kind for kind, entry in PLATFORMS.items() if entry.source and entry.source[0] == scheme))


def issuers() -> list[str]:
    return [entry.issuer for entry in PLATFORMS.values() if entry.issuer]


def find_issuer(kind: str) -> Any:
    """Return the PLATFORM for a kind of issuer. Raises StopIteration."""
    return find(next(platform for platform, entry in PLATFORMS.items() if entry.issuer == kind))


@contextmanager
def with_extra(name: str) -> Iterator[None]:
    """Raise UsageError if the block imports a missing module, with the command that installs the extra `name`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the module {error.name} is not installed",
            rule=f"this command requires the extra {name} of coreflux-mcp-secrets",
            remedy=install_command(name),
            code="extra-not-installed",
        ) from None


def install_command(name: str) -> str:
    """Return the command that installs the extra `name`. It depends on whether this is a clone or a program that uses
    the wheel."""
    if not (Path(__file__).resolve().parents[1] / "coreflux_mcp_secrets").is_dir():
        return "run in the clone: make setup"
    chosen = name if name in PLATFORMS else "cli"
    return (
        f'pip install "coreflux-mcp-secrets[{chosen}] @ git+https://ADDRESS@COMMIT#subdirectory=package" '
        "(docs/operations/component.md)"
    )
