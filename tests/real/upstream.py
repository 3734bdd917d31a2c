"""The MCP server that the launcher runs in tests: upstream's if available, otherwise the small stand-in."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# A stand-in with the same module-level surface; it does not prove that the real server works.
SMALL_SERVER = REPOSITORY / "tests" / "real" / "small_server"


def real_server() -> Path | None:
    """Return the folder of upstream's server: COREFLUX_SERVER_DIR, or one next to the repository, or None."""
    sibling = REPOSITORY.parent / "shared" / "upstream" / "coreflux-mcp-server"
    folder = Path(os.environ.get("COREFLUX_SERVER_DIR", sibling)).resolve()
    return folder if (folder / "server.py").is_file() else None
