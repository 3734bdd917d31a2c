"""The topics that launchers and rotators use among themselves, apart from the plant's. No imports of this package."""

from __future__ import annotations

from urllib.parse import quote

# The first level of each of them, for people who watch the broker.
PLACE = "coreflux-mcp-secrets"

# Servers report at REPORTS/<broker user>/<client id>, both percent-encoded: retained, and emptied at the client's end.
REPORTS = f"{PLACE}/replicas"

# A rotator hints at a new version at HINTS/<secret>, not retained.
HINTS = f"{PLACE}/hints"


def reports_of(user: str) -> str:
    """Return the topic below which the servers that are logged in as `user` report."""
    return f"{REPORTS}/{quote(user, safe='')}"
