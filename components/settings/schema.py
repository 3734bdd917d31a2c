"""The sections of a stack file, the models of their kinds, and the keys of each model."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, cast, get_args

import pulumi
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ..core import registry
from . import validation_errors
from .field_types import LogLevel, Name
from .section import Section
from .sections import (
    DeclaredSecret,
    EmbeddedBroker,
    Environment,
    ExternalAgent,
    ExternalIssuer,
    OutsideBroker,
    OwnedAgent,
    PrivateCa,
    Rotation,
)

REQUIRED = ("store", "server", "broker")
WITH_KINDS = (*REQUIRED, "agent", "issuer")
SECTIONS = ("environment", *WITH_KINDS, "rotation", "secrets", "log_level")

_OWN: Mapping[str, tuple[type[Section], ...]] = {
    "broker": (EmbeddedBroker, OutsideBroker),
    "agent": (ExternalAgent, OwnedAgent),
    "issuer": (ExternalIssuer, PrivateCa),
}
# Models are built when they are first used: a stack file has only some sections, and previews should be fast.
_DEFERRED = ConfigDict(defer_build=True)


def models(section: str) -> tuple[type[Section], ...]:
    own = _OWN.get(section, ())
    if section not in ("store", "server", "issuer"):
        return own
    name = cast(registry.Section, section)
    return (*own, *(getattr(registry.platform_of(name, kind), f"{name}_settings") for kind in registry.kinds(name)))


def model_of(section: str, kind: str) -> type[Section] | None:
    """Return the model of one kind of a section, without importing other platforms; None for an unknown kind."""
    if section in ("store", "server", "issuer"):
        name = cast(registry.Section, section)
        with suppress(KeyError):
            found: type[Section] = getattr(registry.platform_of(name, kind), f"{name}_settings")
            return found
    return next((model for model in _OWN.get(section, ()) if kind in kinds_of(model)), None)


def kinds_of(model: type[Section]) -> tuple[str, ...]:
    """Return the kinds that a model accepts; ("",) if its section has no kinds."""
    return (get_args(model.model_fields["kind"].annotation) if "kind" in model.model_fields else ()) or ("",)


def keys(section: str) -> validation_errors.Keys:
    """Return the keys of a section, by the section's kind. Nested sections are named like "aws.vpc"."""
    if section in WITH_KINDS:
        return {
            kind: found for model in models(section) for kind in kinds_of(model) for kind, found in _keys(model, kind)
        }
    match section:
        case "rotation":
            return dict(_keys(Rotation, ""))
        case "secrets":
            return dict(_keys(DeclaredSecret, ""))
    return {}


def _keys(model: type[Section], kind: str) -> Iterator[tuple[str, Mapping[str, str | None]]]:
    yield kind, {key: str(field.examples[0]) if field.examples else None for key, field in model.model_fields.items()}
    for key, field in model.model_fields.items():
        if inner := inner_section(field.annotation):
            yield from _keys(inner, f"{kind}.{key}")


def inner_section(annotation: Any) -> type[Section] | None:
    """Return the model of the inner section that an annotation contains, or None."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := inner_section(part))), None)


@functools.cache
def adapter(section: str) -> TypeAdapter[Any]:
    match section:
        case "environment":
            return TypeAdapter(Environment, config=_DEFERRED)
        case "rotation":
            return TypeAdapter(Rotation)
        case "secrets":
            return TypeAdapter(dict[Name, DeclaredSecret], config=_DEFERRED)
        case "log_level":
            return TypeAdapter(LogLevel, config=_DEFERRED)
    union = functools.reduce(operator.or_, models(section))
    return TypeAdapter(Annotated[union, Field(discriminator="kind")], config=_DEFERRED)


def read(name: str, section: Any, kind: str | None, outputs: Mapping[str, pulumi.Output[Any]] | None = None) -> Any:
    """Return a section as its model. `outputs` maps paths of keys to outputs. Raises ValidationError.

    For a valid section only the model of its kind is built, which keeps previews fast.
    """
    text = json.dumps(section)
    if model := model_of(name, kind or ""):
        with suppress(ValidationError):
            return model.model_validate_json(text, context=outputs)
    return adapter(name).validate_json(text, context=outputs)
