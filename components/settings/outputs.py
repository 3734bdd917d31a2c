"""Entries of a section that may be outputs of other resources, and are checked once known."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pulumi
from pydantic import GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, SchemaValidator, core_schema

from . import validation_errors
from .section import place_of_output

T = TypeVar("T")


class MayBeOutput:
    """Annotation, last in `Annotated`, of a type whose entries may be outputs.

    The model then has a `pulumi.Output` where a type checker sees the type that it resolves to.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)

        def checked(
            entry: Any, check: core_schema.ValidatorFunctionWrapHandler, info: core_schema.ValidationInfo
        ) -> Any:
            place = place_of_output(entry)
            if place is None or info.context is None:
                return check(tuple(entry) if isinstance(entry, list) else entry)  # strict, and no more JSON
            output: pulumi.Output[Any] = info.context[place]
            return output.apply(lambda known: _once_known(place, inner, known))

        return core_schema.with_info_wrap_validator_function(checked, inner)


def known(entry: T) -> T | None:
    """Return an entry for a rule to check, or None if it or a part of it is an output."""
    parts = entry if isinstance(entry, tuple) else (entry,)
    return None if any(isinstance(part, pulumi.Output) for part in parts) else entry


def _once_known(place: str, schema: CoreSchema, known: Any) -> Any:
    """Return the checked value of an output. Raises pulumi.RunError with value, rule and remedy."""
    try:
        return SchemaValidator(schema).validate_json(json.dumps(known))
    except ValidationError as error:
        problems = validation_errors.explain(place, error, {})
        raise pulumi.RunError("\n".join(map(str, problems))) from None
