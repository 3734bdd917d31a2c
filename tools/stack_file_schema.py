"""docs/stack-file.schema.json: the JSON Schema of a stack file, for editors and validators.

Keys, types and descriptions are those of docs/settings.md. The schema lacks rules that JSON Schema cannot express. So
it accepts every valid file, and some files that `make up` refuses.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from components.core.naming import PROJECT
from components.settings.constraints import KEYWORDS
from components.settings.schema import REQUIRED, SECTIONS, adapter
from tools.settings_page import SETS, described, rule_of
from tools.stack_file_rules import names_of_secrets, rules

# The dialect that editors know, among them the YAML language server.
DIALECT = "http://json-schema.org/draft-07/schema#"

# Maximum characters of a line of the file.
WIDTH = 160


class _Generator(GenerateJsonSchema):
    """Adds the keywords of validators, and the descriptions of keys."""

    def function_after_schema(self, schema: core_schema.AfterValidatorFunctionSchema) -> JsonSchemaValue:
        keywords = getattr(schema["function"]["function"], KEYWORDS, {})
        return {**super().function_after_schema(schema), **keywords}

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found, model = super().model_schema(schema), schema["cls"]
        words = described(model)
        for key, entry in found["properties"].items():
            rule = "" if "$ref" in str(entry) else f"Rule: {rule_of(model.model_fields[key])}."
            entry["description"] = " ".join(filter(None, (words.get(key), rule)))
        found.pop("title", None)
        return found

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        return {"oneOf": super().tagged_union_schema(schema)["oneOf"]}  # the rest is OpenAPI's

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        return {**found, "additionalProperties": False} if "patternProperties" in found else found

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def render() -> str:
    mode: Literal["validation"] = "validation"
    inputs = [(section, mode, adapter(section)) for section in SECTIONS]
    found, definitions = TypeAdapter.json_schemas(inputs, schema_generator=_Generator, ref_template="#/$defs/{model}")
    sections = {f"{PROJECT}:{name}": {"description": SETS[name], **found[name, mode]} for name in SECTIONS}
    names = "|".join(SECTIONS)
    config = {
        "type": "object",
        "properties": sections,
        # Pulumi adds a missing prefix.
        "patternProperties": {
            f"^{name}$": {"$ref": f"#/properties/config/properties/{PROJECT}:{name}"} for name in SECTIONS
        },
        "propertyNames": {"pattern": f"^(({PROJECT}:)?({names})|(?!{PROJECT}:)[^:]+:.+)$"},
        "allOf": [{"properties": {f"{PROJECT}:secrets": names_of_secrets()}}, *rules()],
    }
    each = [{"anyOf": [{"required": [f"{PROJECT}:{name}"]}, {"required": [name]}]} for name in REQUIRED]
    needs = {"required": ["config"], "properties": {"config": {"allOf": each}}}
    document = {
        "$schema": DIALECT,
        "title": "A stack file of coreflux-mcp-secrets",
        "type": "object",
        "properties": {"config": config},
        # An imported environment of Pulumi may have more sections.
        "if": {"not": {"required": ["environment"]}},
        "then": needs,
        "$defs": definitions["$defs"],
    }
    return _text(document) + "\n"


def _text(entry: Any, indent: str = "") -> str:
    # Small entries are on one line.
    line = json.dumps(entry, ensure_ascii=False)
    if not isinstance(entry, dict | list) or len(indent + line) <= WIDTH:
        return line
    items = entry.items() if isinstance(entry, dict) else ((None, each) for each in entry)
    lines = [f"{indent} {json.dumps(key) + ': ' if key else ''}{_text(each, indent + ' ')}" for key, each in items]
    begin, end = "{}" if isinstance(entry, dict) else "[]"
    return "\n".join([begin, ",\n".join(lines), f"{indent}{end}"])
