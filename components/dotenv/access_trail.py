"""The dotenv store's trail: records that secretops and the launcher write themselves."""

from __future__ import annotations

from pathlib import Path

from ..core.secret_store import Trail


def trail_of(root: Path) -> Trail:
    """Where the records are. Written before each access; nothing deletes them, `pulumi destroy` included."""
    return Trail(records=str(root / "log" / "access.jsonl"))
