"""How a part that is missing is installed where this is. PyPI's package of our name is somebody else's."""

from __future__ import annotations

from pathlib import Path

_PLATFORMS = ("aws", "azure", "kubernetes", "swarm", "vault")
"""What another program chooses of. Our other extras are in its wheel as they are (package/)."""


def how_to_install(extra: str) -> str:
    """The remedy for an extra that is missing: the clone's, or that of another program, which has the wheel."""
    if not (Path(__file__).resolve().parents[1] / "coreflux_mcp_secrets").is_dir():
        return "make setup, in the clone, installs every extra"
    chosen = f"[{extra}]" if extra in _PLATFORMS else ""
    return (
        f'pip install "coreflux-mcp-secrets{chosen} @ git+https://ADDRESS@COMMIT#subdirectory=package", as '
        "docs/operations/component.md has it"
    )
