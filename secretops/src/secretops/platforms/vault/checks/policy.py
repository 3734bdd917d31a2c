"""Parse Vault's policies: JSON, or the part of HCL that a policy uses.

https://openbao.org/docs/concepts/policies/
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|(#[^\n]*|//[^\n]*|/\*.*?\*/)', re.DOTALL)
_RULE = re.compile(r'path\s+"(?P<path>(?:[^"\\]|\\.)*)"\s*\{')
_CAPABILITIES = re.compile(r"(?:^|[\s,{])\"?capabilities\"?\s*=\s*\[(?P<list>[^\]]*)\]")
_OLD = re.compile(r"(?:^|[\s,{])\"?policy\"?\s*=\s*\"(?P<word>\w+)\"")
_TEXT = re.compile(r'"([^"]*)"')
_WRITE = frozenset({"create", "read", "update", "delete", "list"})
_OLD_WORDS = {
    "deny": frozenset({"deny"}),
    "read": frozenset({"read", "list"}),
    "write": _WRITE,
    "sudo": _WRITE | {"sudo"},
}


@dataclass(frozen=True)
class Rule:
    """A path in a policy, with its capabilities."""

    path: str
    may: frozenset[str]

    def covers(self, path: str) -> bool:
        return _matches(self.path.split("/"), path.split("/"), whole=True)

    def touches(self, mount: str) -> bool:
        return _matches(self.path.split("/"), mount.strip("/").split("/"), whole=False)


def rules(text: str) -> list[Rule]:
    """Parse a policy. Omits rules that grant nothing. Raises ValueError."""
    found = list(_of_json(json.loads(text)) if text.lstrip().startswith("{") else _of_hcl(text))
    return [rule for rule in found if rule.may and "deny" not in rule.may]


def _of_json(document: Mapping[str, Any]) -> Iterator[Rule]:
    paths = document.get("path", {})
    for each in paths if isinstance(paths, list) else [paths]:
        for path, body in each.items():
            granted = body[0] if isinstance(body, list) else body
            yield Rule(path, frozenset(granted.get("capabilities") or _OLD_WORDS.get(granted.get("policy", ""), ())))


def _of_hcl(text: str) -> Iterator[Rule]:
    plain = _COMMENT.sub(lambda match: match[1] or " ", text)
    for match in _RULE.finditer(plain):
        body = _block(plain, match.end())
        if found := _CAPABILITIES.search(body):
            yield Rule(match["path"], frozenset(_TEXT.findall(found["list"])))
        elif old := _OLD.search(body):
            yield Rule(match["path"], _OLD_WORDS.get(old["word"], frozenset({old["word"]})))


def _block(text: str, start: int) -> str:
    depth, quoted = 1, False
    for end in range(start, len(text)):
        letter = text[end]
        if letter == '"' and text[end - 1] != "\\":
            quoted = not quoted
        elif not quoted and letter in "{}":
            depth += 1 if letter == "{" else -1
            if depth == 0:
                return text[start:end]
    raise ValueError("unclosed brace")


def _matches(pattern: list[str], path: list[str], *, whole: bool) -> bool:
    """Return whether a policy's path matches `path` or, unless `whole` is set, a path below it. A template, {{…}},
    matches any text."""
    for index, part in enumerate(path):
        if index >= len(pattern):
            return False
        expected = pattern[index]
        if index == len(pattern) - 1 and expected.endswith("*"):
            prefix = expected[:-1]
            return "/".join(path[index:]).startswith(prefix) or (not whole and prefix.startswith(part))
        if expected not in ("+", part) and "{{" not in expected:
            return False
    return len(pattern) == len(path) if whole else len(pattern) > len(path)
