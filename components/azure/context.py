"""What the components of one Azure stack have in common."""

from __future__ import annotations

from dataclasses import dataclass

from .names import Names
from .principals import AzureEnvironment, AzurePlace
from .settings import AzureStore


@dataclass(frozen=True, kw_only=True)
class AzureContext:
    """The settings of one stack, its names, and where its resources are."""

    settings: AzureStore
    names: Names
    place: AzurePlace
    environment: AzureEnvironment
    production: bool
