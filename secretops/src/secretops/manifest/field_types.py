"""Types of a manifest's fields, each with the rule that an invalid value breaks.

A manifest may come from others, so every text is ASCII without spaces unless its type allows more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from secretops import formats

LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]"
_RELATIVE = re.compile(r"(^|/)\.{1,2}(/|$)|//")


def refused(rule: str, *, shown: str = "") -> PydanticCustomError:
    """Return the error of a validator. `shown` is printed in place of the input."""
    return PydanticCustomError("refused", "{rule}", {"rule": rule, "shown": shown})


def accepted(test: Callable[[str], object], rule: str) -> AfterValidator:
    """Return a validator of texts. `test` must return a true value for a valid text; a ValueError means invalid,
    too."""

    def check(text: str) -> str:
        try:
            passes = test(text)
        except ValueError:
            passes = None
        if not passes:
            raise refused(f"the value must be {rule}")
        return text

    return AfterValidator(check)


def matching(pattern: str, rule: str) -> AfterValidator:
    """Return a validator of texts that `pattern` must match as a whole, with ASCII character classes."""
    return accepted(re.compile(pattern, re.ASCII).fullmatch, rule)


def between(low: int, high: int, unit: str = "") -> AfterValidator:
    def check(number: int) -> int:
        if not low <= number <= high:
            raise refused(f"the value must be from {low} to {high} {unit}".rstrip())
        return number

    return AfterValidator(check)


def check_path(text: str) -> str:
    if not text.startswith("/") or _RELATIVE.search(text) or not text.isprintable() or text.endswith("/"):
        raise refused("the value must be an absolute path on one line, without . or .. in it")
    return text


SecretName = Annotated[
    str,
    matching(
        formats.NAME,
        "a secret's name: at most 40 lower-case letters, digits and dashes, a letter first and no dash last",
    ),
]
FieldName = Annotated[
    str, matching(r"[a-z][a-z0-9-]{0,39}(\.[a-z]{1,8})?", "a field's name: lower-case letters, digits and dashes")
]
StackName = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "a stack's name that Pulumi accepts")]
ProjectName = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "a project's name that Pulumi accepts")]
Grace = Annotated[int, between(0, 7 * 86400, "seconds")]
Replicas = Annotated[int, between(1, 100)]
UserName = Annotated[
    str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "a broker user: letters, digits, dots and dashes, at most 64")
]
GroupName = Annotated[str, matching(formats.GROUP, "a broker's group: letters, digits, dots and dashes, at most 64")]
CommonName = Annotated[str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", "a client's name, at most 64 characters")]
Host = Annotated[str, accepted(formats.parse_host, "a host's name or IP address, without scheme, port, path or space")]
Port = Annotated[int, between(1, 65535)]
ServerUrl = Annotated[
    str,
    accepted(
        formats.parse_https_url,
        "an https URL with a host and optionally a port: credentials are sent only to that host, over TLS",
    ),
]
AbsolutePath = Annotated[str, AfterValidator(check_path)]
Topic = Annotated[str, accepted(formats.is_topic_filter, "an MQTT topic filter, for example plant/#")]
ReaderName = Annotated[str, matching(rf"{LINE}{{1,1024}}", "a reader's name on one line")]
Days = Annotated[int, between(1, 3660, "days")]
Seconds = Annotated[int, between(1, 3660 * 86400, "seconds")]

Guid = Annotated[str, matching(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a GUID")]
