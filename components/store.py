"""The store: where a stack's values live. Owns containers, grants, schedule and trail, and never a value."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pulumi

from components.access_log import Trail
from components.matrix import refusal
from components.principals import Principal
from components.references import Reference
from components.rotation import Schedule
from secretops.manifest import Manifest
from settings import DotenvStore, Settings


class SecretStore(pulumi.ComponentResource, ABC):
    """What every platform's store component gives. All of it is locators."""

    manifest: Manifest
    """What secretops is told."""

    @abstractmethod
    def publish(self, *, reader: Principal) -> Reference:
        """Grant `reader` the secrets it may read, and say how it reaches them."""

    @abstractmethod
    def rotate(self) -> Schedule:
        """Set up the rotator."""

    @abstractmethod
    def record_access(self) -> Trail:
        """Set up the trail."""


def open_store(name: str, settings: Settings) -> SecretStore:
    """The store component that the stack asks for. Imports that platform's folder and no other."""
    match settings.store:
        case DotenvStore():
            from components.dotenv.store import DotenvSecretStore

            return DotenvSecretStore(name, store=settings.store, settings=settings)
        case planned:
            raise NotImplementedError(refusal(planned.kind, settings.server.kind))  # Settings has refused it before
