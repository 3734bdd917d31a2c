"""The words of a policy: a plan of resources, a rule over it, what a rule finds, and the controls that it serves.

A rule judges what a stack *declares*. It knows neither where the plan came from (the engine's analyzer, a preview's
JSON, mocks) nor the program that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final


class Unknown:
    """In the place of a property that only the provider knows, before it has made the resource."""

    def __repr__(self) -> str:
        return "<known after pulumi up>"

    def __bool__(self) -> bool:
        return False


UNKNOWN: Final = Unknown()


class Concealed:
    """In the place of a property that the engine encrypts: a rule sees that it is there, and never what it is."""

    def __repr__(self) -> str:
        return "<secret>"


CONCEALED: Final = Concealed()


class Environment(StrEnum):
    """Of the stack, as its settings say; the same words as components.sections.Environment, which no rule imports."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource as the program asked for it."""

    type: str
    """The type token, as aws:secretsmanager/secret:Secret."""
    name: str
    urn: str
    properties: Mapping[str, Any]
    """Inputs, camelCase as the engine has them; UNKNOWN and CONCEALED at any depth."""
    parent: str = ""
    """The parent's URN."""
    protect: bool = False
    provider: str = ""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that one run of the program asked for."""

    project: str
    stack: str
    environment: Environment
    resources: tuple[Resource, ...]
    """Those that a rule judges. Of another program's, what lies below a component of ours."""
    beside: tuple[Resource, ...] = ()
    """The rest of another program's: only values are looked for there."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Of the stack: its manifest is `secretops`."""

    def of_type(self, *types: str) -> Iterator[Resource]:
        """The resources of one of these type tokens."""
        return (resource for resource in self.resources if resource.type in types)

    @property
    def urn(self) -> str:
        """Of the stack itself."""
        return f"urn:pulumi:{self.stack}::{self.project}::pulumi:pulumi:Stack::{self.project}-{self.stack}"

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the stack tells secretops; empty where it is not known yet."""
        told = self.outputs.get("secretops")
        return told if isinstance(told, Mapping) else {}


@dataclass(frozen=True)
class Finding:
    """What a rule has to say of one resource, or of the stack. Nothing found is a rule that is kept."""

    resource: str
    """Its URN; the stack's where it is the whole."""
    message: str
    """What is wrong, the rule, the remedy. Never a value."""
    unknown: bool = False
    """Not broken: it can't be judged before the provider has made what it hangs on."""


class Framework(StrEnum):
    """Where a control is from."""

    SOC_2 = "SOC 2"
    PCI_DSS = "PCI DSS 4.0.1"
    HIPAA = "HIPAA"
    GDPR = "GDPR"


@dataclass(frozen=True)
class Control:
    """One control that a rule serves, as CC6.1, 3.5.1, 164.312(a)(2)(iv) or 32(1)(a)."""

    framework: Framework
    id: str
    because: str
    """One line: what of the control the rule serves."""


class Enforcement(StrEnum):
    """What a finding does to a preview; the words of Pulumi's policies."""

    MANDATORY = "mandatory"
    ADVISORY = "advisory"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One sentence that a stack keeps or breaks."""

    name: str
    """Unique, kebab-case, begins with the platform: aws-keys-rotate, stack-is-protected-in-production."""
    says: str
    """The sentence that a stack keeps."""
    controls: tuple[Control, ...]
    shows_not: str
    """What a kept rule does not show, one sentence."""
    applies: Callable[[Plan], bool]
    """Whether the rule has anything to judge in this plan: one that has not is neither kept nor broken."""
    look: Callable[[Plan], Iterator[Finding]]
    enforcement: Enforcement = Enforcement.MANDATORY
