"""Types of entries that may be outputs of other resources. An output is validated once its value is known."""

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
    """Annotation for the type of an entry that may be an output. It must be last in `Annotated`.

    The model's field is then a `pulumi.Output`, while a type checker sees the type of the output's value.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)

        def checked(
            entry: Any, check: core_schema.ValidatorFunctionWrapHandler, info: core_schema.ValidationInfo
        ) -> Any:
            place = place_of_output(entry)
            if place is None or info.context is None:
                return check(
                    tuple(entry) if isinstance(entry, list) else entry
                )  # pydantic's strict mode accepts only a tuple here
            output: pulumi.Output[Any] = info.context[place]
            return output.apply(lambda known: _once_known(place, inner, known))

        return core_schema.with_info_wrap_validator_function(checked, inner)


def known(entry: T) -> T | None:
    """Return the entry, or None if it or a part of it is an output, which rules can't check."""
    parts = entry if isinstance(entry, tuple) else (entry,)
    return None if any(isinstance(part, pulumi.Output) for part in parts) else entry


def _once_known(place: str, schema: CoreSchema, known: Any) -> Any:
    try:
        return SchemaValidator(schema).validate_json(json.dumps(known))
    except ValidationError as error:
        problems = validation_errors.explain(place, error, {})
        raise pulumi.RunError("\n".join(map(str, problems))) from None
