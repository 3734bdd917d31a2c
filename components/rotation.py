"""The schedule that a store's rotator runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When `secretops tick` runs, and the command that turns it on ("" where it already is)."""

    every: str
    turn_on: str
