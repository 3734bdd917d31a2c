"""The trail: where reads are recorded, and what it does not see. Not an application log."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Trail:
    """A locator of the records, and the gap in them ("" where there is none)."""

    records: str
    gap: str
    policy: str = ""
    """What whoever keeps the records has to be given for it ("" where the stack itself sets it up)."""
    query: str = ""
    """What finds in the records who read what ("" where `secretops audit` alone reads them)."""
