"""Generate docs/settings.md: every key that a stack file may contain, from the models that read it.

For each key, the page shows the rule that the error for a wrong value contains.
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from components.settings.field_types import LogLevel
from components.settings.schema import WITH_KINDS, inner_section, kinds_of, models
from components.settings.section import Section
from components.settings.sections import DeclaredSecret, Environment, Rotation
from components.settings.validation_errors import explain

OF_ONE: dict[str, type[Section]] = {"rotation": Rotation, "secrets.NAME": DeclaredSecret}

# Wrong entries of each type, which no key accepts.
REFUSED: tuple[Any, ...] = ("\x00\x00", 10**9, ["\x00\x00"], [], {"\x00\x00": 1})

# Codes of errors about the type alone: for another sample, the rule may be more specific.
OF_A_SHAPE = {"int_type", "string_type", "tuple_type", "model_type", "model_attributes_type", "dict_type"}

HEAD = """# Settings

A stack file, `Pulumi.<stack>.yaml`, has these sections. Each is a key under `config:` with the prefix
`coreflux-mcp-secrets:`. [Stores](stores.md) lists which store works with which server. The [glossary](glossary.md)
defines terms such as *grace period* and *lease*.
"""

# Section -> what it configures.
SETS = {
    "store": "where secret values are stored",
    "server": "where the MCP server runs, and who reaches it",
    "broker": "the MQTT broker and its users",
    "issuer": "the CA that signs the [client certificate](operations/certificates.md)",
    "agent": "the agent that accepts the [API key](operations/agent-key.md)",
    "rotation": "how often secrets rotate, and the grace period",
    "secrets": "more secrets, by name",  # pragma: allowlist secret
    "log_level": "the server's log level",
    "environment": "development, staging or production",
}

AFTER_SECTIONS = """
- If a section or key is missing, its default applies. The defaults are those of [the MCP server's Secret Management
  Guide](guide.md): passwords rotate every 90 days, API keys within 6 months, and outside of development TLS is on, on
  port 8883. A key whose default is – is required; a nested key only if its section is there.
- If a stack file has errors, all are reported at once, each with its place, the rule and the remedy. At most 20 are
  printed. A rule that compares two sections is checked only once both are valid.
- An error prints a malformed entry only if it is one of the following. Other text is printed as `text (not shown)`,
  because it may be a secret value.
    - a number below 10,000,000
    - a misspelled word, or a word of at most 20 letters, where one of a list of words is required
    - a URL without a login, up to its path; an IP address or a network; where an address is required, a host's name in
      lower case, with a dot
    - an ARN, or a resource id of Azure; a part that looks random becomes `...`
- An error prints the name of a key unless the name looks like a secret. An error that compares two valid entries prints
  both.
- An entry that looks like a secret value is rejected and never printed. This applies to:
    - keys named `password`, `token`, `secretKey` and the like
    - a token, a PEM file, a login or an assignment such as `password=`, and anything encrypted
    - 20 or more random letters and digits that contain no word
    - entries for other programs, such as `aws:secretKey` or a kubeconfig with a token
- Where any text is allowed, such as the name of a folder, a shorter password is not recognized, nor one that consists
  of words.

## In an editor

The first line of each stack file names its [JSON Schema](stack-file.schema.json). An editor with the YAML language
server then completes keys, describes them, and marks errors. In a file that you copy from `examples/`, replace
`../docs/` with `docs/`. Pulumi keeps the line when it writes the file.

The schema accepts every valid file. It rejects 142 of the 174 broken files in the tests. For the others, a check needs
what an editor does not have: the stack's name, files on disk, another entry to compare with, or a test for text that
looks like a secret. `make preview` and `make up` check all rules.

`Pulumi.dev.yaml` deploys to this machine, `Pulumi.staging.yaml` to a [Kubernetes cluster](operations/kubernetes.md),
`Pulumi.prod.yaml` to an [AWS account](operations/aws.md). `examples/` has a file for each other pair of store and
server. `make docs` generates this page and the schema from the program's models.
"""


def render() -> str:
    parts = [HEAD, _sections(), AFTER_SECTIONS]
    for section in WITH_KINDS:
        parts.append(f"## {section}\n")
        for model in models(section):
            kinds = " or ".join(f"`{kind}`" for kind in kinds_of(model))
            parts += [f"### {section}, kind {kinds}\n", f"{_first(model)}\n", _table(model)]
    for section, model in OF_ONE.items():
        parts += [f"## {section}\n", f"{_first(model)}\n", _table(model)]
    levels = ", ".join(f"`{level}`" for level in get_args(getattr(LogLevel, "__value__", LogLevel)))
    parts.append(
        f"## log_level\n\nOne of {levels}. By default DEBUG in development, INFO in staging, WARNING in production.\n"
    )
    places = ", ".join(f"`{place.value}`" for place in Environment)
    parts.append(
        f"## environment\n\nOne of {places}. By default the first word of the stack's name decides, up to a digit or "
        "another character that is no letter: dev or development for development; stag, stage or staging for staging. "
        "Any other first word means production.\n"
    )
    return "\n".join(parts)


def _sections() -> str:
    lines = ["| section | kinds | sets |", "|---|---|---|"]
    for section, sets in SETS.items():
        kinds = ", ".join(f"`{kind}`" for model in models(section) for kind in kinds_of(model))
        lines.append(f"| `{section}` | {kinds} | {sets} |")
    return "\n".join(lines)


def _first(model: type[BaseModel]) -> str:
    return " ".join(inspect.getdoc(model).split()) if inspect.getdoc(model) else ""  # type: ignore[union-attr]


def _table(model: type[Section]) -> str:
    rows = list(_rows(model))
    if not rows:
        return "It has no other key.\n"
    head = "| key | default | may be | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(f"| `{key}` | {default} | {rule} | {text} |" for key, default, rule, text in rows) + "\n"


def _rows(model: type[Section], within: str = "") -> Iterator[tuple[str, str, str, str]]:
    words = described(model)
    for key, field in model.model_fields.items():
        if key == "kind" and not within:
            continue
        inner = inner_section(field.annotation)
        section = "a list of sections" if get_origin(field.annotation) is tuple else "a section"
        rule = section if inner else rule_of(field)
        text = words.get(key) or (_first(inner) if inner else "")
        yield f"{within}{key}", _default(field), rule.replace("|", "\\|"), text.replace("|", "\\|")
        if inner:
            yield from _rows(inner, f"{within}{key}.")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "–"
    value = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None:
            return "none"
        case StrEnum():
            return f'`"{value.value}"`' if value.value.isdigit() else f"`{value.value}`"
        case str():
            return f"`{value}`"
        case tuple():
            return f"`[{', '.join(str(getattr(entry, 'value', entry)) for entry in value)}]`"
        case _:
            return f"`{json.dumps(value)}`"


def rule_of(field: FieldInfo) -> str:
    adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation(), config={"strict": True})
    found: list[tuple[bool, str]] = []
    for sample in REFUSED:
        try:
            adapter.validate_json(json.dumps(sample))
        except ValidationError as error:
            (detail, *_) = error.errors(include_url=False)
            (problem, *_) = explain("it", error, {})
            each = "a mapping; each entry: " if get_origin(field.annotation) is dict else "a list; each entry: "
            many = each if detail["loc"] else ""
            if detail["loc"][-1:] == ("[key]",):
                many = "a mapping; each key: "
            found.append(
                (detail["type"] in OF_A_SHAPE | {"too_short"}, many + problem.rule.removeprefix("the entry must be "))
            )
    return min(found, key=lambda one: one[0])[1]


def described(model: type[Any]) -> dict[str, str]:
    """Map each key to its docstring, from the source. Pydantic can read docstrings, too, but would do so at each start
    of the program."""
    found = {key: text for args in getattr(model, "arguments", ()) for key, text in described(args).items()}
    lines = [
        line for one in ast.parse(textwrap.dedent(inspect.getsource(model))).body for line in getattr(one, "body", ())
    ]
    for entry, after in pairwise(lines):
        match entry, after:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str() as text)):
                found[key] = " ".join(text.split())
    return found
