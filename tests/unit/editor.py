"""Apply the JSON Schema of a stack file, as an editor does."""

import json
from functools import cache
from typing import Any

from jsonschema import Draft7Validator

from components.settings.section import PROJECT_FOLDER

SCHEMA = PROJECT_FOLDER / "docs/stack-file.schema.json"


@cache
def _validator() -> Draft7Validator:
    schema = json.loads(SCHEMA.read_text())
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema)


def refusals(document: Any) -> list[str]:
    """Return the errors of a YAML document."""
    return [error.message for error in _validator().iter_errors(document)]
