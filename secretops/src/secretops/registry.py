"""The platforms, by name: what is imported late, and how what is missing is installed.

A platform is one line here and one folder, whose `platform.py` has PLATFORM (secretops/platform.py says what that is).
Nothing else names a platform, and nothing imports one statically.
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
    """A platform: a store, and perhaps a source of the launcher, an issuer of certificates and commands of its own."""

    module: str
    """Where its PLATFORM is."""
    source: tuple[str, str] | None = None
    """Scheme of the launcher's --from, and what follows it."""
    issuer: str | None = None
    """Kind of the issuer."""
    command: str | None = None
    """Name of the command group."""


_HERE = "secretops.platforms"

PLATFORMS: dict[str, Entry] = {
    "dotenv": Entry(module=f"{_HERE}.dotenv.platform", source=("dotenv", "<folder of the store>")),
    "kubernetes": Entry(module=f"{_HERE}.kubernetes.platform"),
    "aws": Entry(
        module=f"{_HERE}.aws.platform",
        source=("aws-sm", "<region>/<start of the names>/<secret>[+<secret>…]"),
        issuer="aws-private-ca",
    ),
    "azure": Entry(module=f"{_HERE}.azure.platform", source=("azure-kv", "<vault's host>/<secret>[+<secret>…]")),
    "vault": Entry(
        module=f"{_HERE}.vault.platform",
        source=("vault", "<host>[:<port>]/<mount>/data/<secret>[+<secret>…][,<option>…]"),
        issuer="vault",
    ),
    "swarm": Entry(module=f"{_HERE}.swarm.platform", command="export"),
}
"""Kind of a store -> its platform. The kind is also the name of the extra that installs the platform's client."""


def find(kind: str) -> Any:
    """Return PLATFORM of the platform `kind`. Loads no client. Raises KeyError."""
    return importlib.import_module(PLATFORMS[kind].module).PLATFORM


def commands() -> dict[str, Any]:
    """Return the platforms' command groups by name."""
    return {entry.command: find(kind).commands() for kind, entry in PLATFORMS.items() if entry.command}


def sources() -> dict[str, str]:
    """Return each scheme of the platforms' launcher sources, with what follows it."""
    return dict(entry.source for entry in PLATFORMS.values() if entry.source)


def find_source(scheme: str) -> Any:
    """Return the PLATFORM whose launcher source has this scheme. Raises StopIteration."""
    return find(next(kind for kind, entry in PLATFORMS.items() if entry.source and entry.source[0] == scheme))


def issuers() -> list[str]:
    """Return each kind of issuer of the platforms."""
    return [entry.issuer for entry in PLATFORMS.values() if entry.issuer]


def find_issuer(kind: str) -> Any:
    """Return the PLATFORM that has issuers of this kind. Raises StopIteration."""
    return find(next(platform for platform, entry in PLATFORMS.items() if entry.issuer == kind))


@contextmanager
def with_extra(name: str) -> Iterator[None]:
    """Report a missing module as UsageError with the command that installs the extra `name`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"this installation of secretops has no {error.name}",
            rule="each platform's client comes with its extra, and the command line with another",
            remedy=install_command(name),
        ) from None


def install_command(name: str) -> str:
    """Return the command that installs the extra `name` here: in a clone, or in another program, which has the wheel.

    The wheel has an extra for each platform, and `cli` for the rest. `secretops` on PyPI is another project.
    """
    if not (Path(__file__).resolve().parents[1] / "coreflux_mcp_secrets").is_dir():
        return "make setup, in the clone, installs every extra"
    chosen = name if name in PLATFORMS else "cli"
    return (
        f'pip install "coreflux-mcp-secrets[{chosen}] @ git+https://ADDRESS@COMMIT#subdirectory=package", as '
        "docs/operations/component.md has it"
    )
