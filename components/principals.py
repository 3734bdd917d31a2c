"""The identities that read secrets. Not persons."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class HostUser:
    """An account of this machine, by uid: who owns the files may read them."""

    uid: int

    @classmethod
    def this(cls) -> HostUser:
        """The account that runs the program."""
        return cls(uid=os.geteuid())


Principal = HostUser
"""The union grows by one member with each platform that brings an identity."""
