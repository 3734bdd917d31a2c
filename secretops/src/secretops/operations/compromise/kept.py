"""An incident in its two files, for programs and for people, and the one that is gone on with."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from secretops import own_files
from secretops.errors import StoreError, UsageError
from secretops.manifest import Manifest, Secret
from secretops.operations.compromise.incident import Incident, Record
from secretops.operations.compromise.page import page
from secretops.stores import files

STEMS = "incident-{secret}-{time:%Y%m%dT%H%M%S.%fZ}"
"""What the files of an incident are called, before .json and .md."""

GONE_ON_WITH = timedelta(days=1)
"""For how long an incident without an end is gone on with. Somebody who comes later speaks of another one."""


def files_of(incident: Incident, folder: Path) -> tuple[Path, Path]:
    """Where it is kept: for programs, and for people."""
    stem = STEMS.format(secret=incident.secret, time=incident.began)
    return folder / f"{stem}.json", folder / f"{stem}.md"


def keep(incident: Incident, folder: Path) -> None:
    """Write both files, mode 600, the one that is gone on from last. Raises StoreError."""
    for_programs, for_people = files_of(incident, folder)
    files.write(for_people, page(incident).encode(), files.PRIVATE)
    files.write(for_programs, incident.model_dump_json(indent=2).encode(), files.PRIVATE)


def unfinished(manifest: Manifest, secret: Secret, folder: Path, now: datetime) -> Incident | None:
    """The latest incident of `secret` in `folder`, unless it ended. Raises UsageError, StoreError.

    One that began longer than GONE_ON_WITH ago is none: what is made of it since would pass for never having been out.
    """
    for path in sorted(folder.glob(f"incident-{secret.name}-*.json"), reverse=True):
        incident = _read(path)
        if (incident.project, incident.stack, incident.secret) == (manifest.project, manifest.stack, secret.name):
            return incident if incident.ended is None and now - incident.began < GONE_ON_WITH else None
    return None


def _read(path: Path) -> Incident:
    """Raise StoreError for a link or another account's file: it would say what is done already. Raises UsageError."""
    try:
        return Incident.model_validate_json(own_files.read_own(path))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no incident of this version of secretops"
        raise UsageError(
            f"{path}: {why}",
            rule="what was begun is gone on with from this file",
            remedy="move it away to begin anew, or give another folder: --to FOLDER",
        ) from None


def in_folder(folder: Path) -> Record:
    """Records in `folder`. Raises StoreError where that is none of this account's."""
    if not folder.is_dir():
        raise StoreError(
            f"{folder}: no such folder",
            rule="the incident's two files are kept in it",
            remedy=f"mkdir {folder}, or give another one: --to FOLDER",
        )
    return lambda incident: keep(incident, folder)
