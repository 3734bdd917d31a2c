"""Evaluate CloudWatch Logs' filter patterns for JSON events.

Source: the user guide, "Filter pattern syntax for metric filters". Undocumented cases raise ValueError, so that no
pattern depends on them: a star inside a text, `!=` on a missing key.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Test = Callable[[Mapping[str, Any]], bool]
_TOKEN = re.compile(r'\s*(&&|\|\||!=|=|>|[(){}]|NOT EXISTS|\$(?:\.\w+(?:\[\d+\])?)+|\d+|"[^"]*")')
_MISSING = object()


def matches(pattern: str, event: Mapping[str, Any]) -> bool:
    """Return whether `pattern` matches `event`. Raises ValueError for invalid or undocumented patterns."""
    return _Parser(pattern).whole()(event)


class _Parser:
    """Recursive descent: parentheses first, then &&, then ||."""

    def __init__(self, pattern: str) -> None:
        self._tokens: list[str] = []
        at = 0
        while at < len(pattern.rstrip()):
            found = _TOKEN.match(pattern, at)
            if not found:
                raise ValueError(f"no filter pattern from here on: {pattern[at:]}")
            self._tokens.append(found[1])
            at = found.end()

    def whole(self) -> Test:
        self._take("{")
        test = self._either()
        self._take("}")
        if self._tokens:
            raise ValueError(f"after its end: {self._tokens}")
        return test

    def _either(self) -> Test:
        tests = [self._both()]
        while self._next("||"):
            tests.append(self._both())
        return lambda event: any(test(event) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._next("&&"):
            tests.append(self._one())
        return lambda event: all(test(event) for test in tests)

    def _one(self) -> Test:
        if self._next("("):
            test = self._either()
            self._take(")")
            return test
        selector = self._tokens.pop(0)
        if not selector.startswith("$."):
            raise ValueError(f"{selector}: a selector begins with $.")
        if self._next("NOT EXISTS"):
            return lambda event: _at(event, selector) is _MISSING
        operator, wanted = self._tokens.pop(0), self._tokens.pop(0).strip('"')
        if operator == ">":
            least = int(wanted)
            return lambda event: isinstance(found := _at(event, selector), int) and found > least
        if operator not in ("=", "!="):
            raise ValueError(f"{operator}: no comparison of texts")
        if "*" in wanted[1:-1]:
            raise ValueError(f"{wanted}: a star within a text")
        like = re.compile(".*".join(map(re.escape, wanted.split("*"))), re.DOTALL)
        return lambda event: _compared(_at(event, selector), operator, like)

    def _next(self, token: str) -> bool:
        if self._tokens[:1] == [token]:
            del self._tokens[0]
            return True
        return False

    def _take(self, token: str) -> None:
        if not self._next(token):
            raise ValueError(f"{token} is missing before {self._tokens}")


def _compared(found: object, operator: str, like: re.Pattern[str]) -> bool:
    if operator == "=":
        return isinstance(found, str) and like.fullmatch(found) is not None
    if not isinstance(found, str):
        raise ValueError(f"{like.pattern}: the event has no such text to differ from it")  # noqa: TRY004
    return like.fullmatch(found) is None


def _at(event: Mapping[str, Any], selector: str) -> object:
    found: object = event
    for key, at in re.findall(r"\.(\w+)(?:\[(\d+)\])?", selector):
        if not isinstance(found, Mapping) or key not in found:
            return _MISSING
        found = found[key]
        if at:
            if not isinstance(found, list) or int(at) >= len(found):
                return _MISSING
            found = found[int(at)]
    return found
