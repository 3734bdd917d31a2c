"""Check inputs against a Pulumi SDK's types: unknown and missing keys, types, enums.

The SDK itself checks only a resource's own arguments. The types are generated from the real provider's schema.
"""

from __future__ import annotations

import difflib
import enum
import importlib
import inspect
import json
import re
import threading
import types
import typing
import warnings
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import pulumi
from pulumi import _types
from pulumi.runtime import rpc

from tools.standin.problems import MISSING, Problem
from tools.standin.wire import ARCHIVE, ASSET, SIGNATURE, is_unknown

# Enums that lack allowed values, such as the ARN of a user's own policy. azure-native's ConditionOperator belongs to
# another API.
OPEN_ENUMS = frozenset({"ManagedPolicy", "InstanceType", "ConditionOperator"})

_FILES = {ASSET: (pulumi.Asset,), ARCHIVE: (pulumi.Archive,)}
_ANY_FILE = (pulumi.Asset, pulumi.Archive)

# Checks run in parallel, and an SDK's modules import each other.
_importing = threading.Lock()


class UnknownTypeError(Exception): ...


@cache
def resource_class(token: str) -> type:
    """Return the class of a type such as `aws:secretsmanager/secret:Secret`. Raises UnknownTypeError."""
    package, module = token.split(":")[:2]
    with _importing, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK's classes warn when they are imported
        importlib.import_module(f"pulumi_{package.replace('-', '_')}")
        for registered in rpc._RESOURCE_MODULES.get(f"{package}:{module}", []):
            about: dict[str, Any] = getattr(registered, "mod_info", {})
            if name := about.get("classes", {}).get(token):
                found: type = getattr(importlib.import_module(about["fqn"]), name)
                return found
    raise UnknownTypeError(token)


@cache
def arguments_class(token: str) -> type:
    """Return a resource's class of arguments: `<Name>InitArgs` if it exists, because `<Name>Args` then belongs to a
    nested type."""
    resource = resource_class(token)
    module = inspect.getmodule(resource)
    found: type = getattr(module, f"{resource.__name__}InitArgs", None) or getattr(module, f"{resource.__name__}Args")
    return found


@cache
def output_types(token: str) -> dict[str, Any]:
    return {
        name: hint for name, hint in _types.resource_types(resource_class(token)).items() if name not in ("id", "urn")
    }


@cache
def input_types(arguments: type) -> dict[str, Any]:
    with _importing:
        return dict(_types.input_type_types(arguments))


@cache
def computed_types(token: str) -> dict[str, Any]:
    given = input_types(arguments_class(token))
    return {name: hint for name, hint in output_types(token).items() if name not in given}


@cache
def required(arguments: type) -> frozenset[str]:
    """Return the wire names of required inputs."""
    names = _types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters.values()  # type: ignore[misc]
    return frozenset(
        names[one.name]
        for one in parameters
        if one.kind is one.KEYWORD_ONLY and one.default is one.empty and one.name in names
    )


def problems(token: str, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _object(arguments_class(token), inputs, "")


def configuration_problems(package: str, given: Mapping[str, Any]) -> Iterator[Problem]:
    """Check a provider's configuration. The engine sends non-string entries as JSON strings."""
    sdk = importlib.import_module(f"pulumi_{package.replace('-', '_')}")
    known = input_types(sdk.ProviderArgs)
    opened = {}
    for name, value in given.items():
        if name in ("version", "pluginDownloadURL"):
            continue
        try:
            opened[name] = value if known.get(name) is str or is_unknown(value) else json.loads(value)
        except (TypeError, ValueError):
            opened[name] = value
    yield from _object(sdk.ProviderArgs, opened, "")


def _value(hint: Any, value: Any, at: str) -> Iterator[Problem]:
    if value is None or is_unknown(value):
        return
    arms = list(_arms(hint))
    if Any in arms or not arms:
        return
    enums = [arm for arm in arms if isinstance(arm, type) and issubclass(arm, enum.Enum)]
    if enums and isinstance(value, str | int | float):
        yield from _member(enums, value, at)
        return
    fitting = [arm for arm in arms if _fits(arm, value)]
    if not fitting:
        yield Problem(
            at, value, f"the value must be {' or '.join(sorted({_said(arm) for arm in arms}))}", _remedy(arms, value)
        )
        return
    found = [list(_inside(arm, value, at)) for arm in fitting]
    if all(found):
        yield from min(found, key=len)


def _inside(arm: Any, value: Any, at: str) -> Iterator[Problem]:
    origin, parts = typing.get_origin(arm), typing.get_args(arm)
    if _types.is_input_type(arm):
        yield from _object(arm, value, f"{at}.")
    elif isinstance(value, list) and parts:
        for index, item in enumerate(value):
            yield from _value(parts[0], item, f"{at}[{index}]")
    elif isinstance(value, Mapping) and origin is not None and len(parts) == 2:  # noqa: PLR2004  key and value
        for key, item in value.items():
            yield from _value(parts[1], item, f"{at}.{key}")


def _object(arguments: type, given: Mapping[str, Any], prefix: str) -> Iterator[Problem]:
    known = input_types(arguments)
    for key, value in given.items():
        if key in known:
            yield from _value(known[key], value, f"{prefix}{key}")
        else:
            yield Problem(
                f"{prefix}{key}", value, f"{arguments.__name__} has no key of this name", _nearest_key(key, known)
            )
    for key in sorted(required(arguments) - given.keys()):
        yield Problem(f"{prefix}{key}", MISSING, f"{arguments.__name__} requires this key", f"add {snake(key)}")


def _member(enums: Sequence[type[enum.Enum]], value: object, at: str) -> Iterator[Problem]:
    members = [member.value for one in enums for member in one]
    if value not in members and not any(one.__name__ in OPEN_ENUMS for one in enums):
        yield Problem(
            at,
            value,
            f"the value must be one of {enums[0].__name__}",
            did_you_mean(str(value), [str(member) for member in members]),
        )


def _arms(hint: Any) -> Iterator[Any]:
    """Yield the alternatives in a type hint, without Input, None and the TypedDicts for argument classes."""
    origin = typing.get_origin(hint)
    if origin in (Awaitable, pulumi.Output):
        return
    if origin in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _arms(part)
    elif hint is not type(None) and not typing.is_typeddict(hint) and not isinstance(hint, typing.ForwardRef):
        yield hint


def _kind(arm: Any) -> type:
    origin = typing.get_origin(arm) or arm
    return origin if isinstance(origin, type) else object


def _fits(arm: Any, value: Any) -> bool:
    kind = _kind(arm)
    signature = value.get(SIGNATURE) if isinstance(value, Mapping) else None
    if signature is not None:
        return issubclass(kind, _FILES.get(signature, ()))
    if isinstance(value, bool) or kind is bool:
        return kind in (bool, object) and isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float)
    if kind in (int, str, object):
        return isinstance(value, kind)
    return isinstance(value, list if issubclass(kind, Sequence) else Mapping) and not issubclass(kind, _ANY_FILE)


def _said(arm: Any) -> str:
    kind = _kind(arm)
    words = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    if kind in words:
        return words[kind]
    if _types.is_input_type(kind):
        return f"an object ({kind.__name__})"
    if issubclass(kind, _ANY_FILE):
        return f"an {kind.__name__}"
    return "a list" if issubclass(kind, Sequence) else "an object"


_OF_TYPE = "write a value of this type"


def _remedy(arms: Sequence[Any], value: object) -> str:
    kinds = {_kind(arm) for arm in arms}
    if any(kind is not str and issubclass(kind, Sequence) for kind in kinds):
        return "put the value into a list"
    if isinstance(value, str) and kinds & {int, float, bool}:
        return "write the value without quotes" if re.fullmatch(r"-?[\d.]+|[Tt]rue|[Ff]alse", value) else _OF_TYPE
    return _OF_TYPE


def _nearest_key(key: str, known: Collection[str]) -> str:
    of_python = [*map(snake, known)]
    return did_you_mean(key, of_python if "_" in key and key not in of_python else known)


def did_you_mean(word: str, known: Collection[str], *, listed: str = "the SDK") -> str:
    """Return a remedy: the nearest known word, or all known words if they are few, or else where they are `listed`."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or difflib.get_close_matches(
        word.lower(), known, n=1, cutoff=0.6
    )
    if near:
        return f"did you mean {near[0]}?"
    return f"use one of {', '.join(sorted(known))}" if len(known) <= 12 else f"look it up in {listed}"  # noqa: PLR2004


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
