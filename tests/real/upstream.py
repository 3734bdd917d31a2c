"""The MCP server that the launcher runs: upstream's own where it can be had, else a small one of ours."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL_SERVER = REPOSITORY / "tests" / "real" / "small_server"
"""A stand-in with the same module-level surface; it does not prove that the real server works."""


def real_server() -> Path | None:
    """Upstream's server: at COREFLUX_SERVER_DIR, or beside the repository. None where it is neither."""
    beside = REPOSITORY.parent / "shared" / "upstream" / "coreflux-mcp-server"
    folder = Path(os.environ.get("COREFLUX_SERVER_DIR", beside)).resolve()
    return folder if (folder / "server.py").is_file() else None
