"""The identities that read secrets. Not persons."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, kw_only=True)
class HostUser:
    """An account of this machine, by uid: who owns the files may read them."""

    uid: int

    @classmethod
    def this(cls) -> HostUser:
        """The account that runs the program."""
        return cls(uid=os.geteuid())


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """A Kubernetes namespace, and the provider that talks to its cluster."""

    name: pulumi.Output[str]
    """Of the namespace itself: whatever takes its name from here is made after it, and removed before it."""
    provider: pulumi.ProviderResource


@dataclass(frozen=True, kw_only=True)
class ServiceAccount:
    """An account of a Kubernetes namespace: what a Role grants, the pods that run as it may do."""

    namespace: Namespace
    name: pulumi.Output[str]


Principal = HostUser | ServiceAccount
"""The union grows by one member with each platform that brings an identity."""
