"""How to install a missing part. On PyPI, `secretops` is another project."""

from __future__ import annotations

from pathlib import Path

# The platforms' extras of the wheel for other programs (package/). All else is in its extra `cli`.
_PLATFORMS = ("aws", "azure", "kubernetes", "swarm", "vault")


def how_to_install(extra: str) -> str:
    """Return the remedy for a missing extra: in the clone, or in another program, which has the wheel."""
    if not (Path(__file__).resolve().parents[1] / "coreflux_mcp_secrets").is_dir():
        return "make setup, in the clone, installs every extra"
    chosen = extra if extra in _PLATFORMS else "cli"
    return (
        f'pip install "coreflux-mcp-secrets[{chosen}] @ git+https://ADDRESS@COMMIT#subdirectory=package", as '
        "docs/operations/component.md has it"
    )
