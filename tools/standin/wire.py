"""The engine's wire format: unknown values, secrets, files.

The constants that mark them are the SDK's (also in sdk/go/common/resource/plugin/rpc.go of Pulumi 3.274).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf import struct_pb2  # type: ignore[import-untyped]
from pulumi.runtime import rpc

# A value that a preview can't know yet. The engine has one such word per type.
UNKNOWN = rpc.UNKNOWN

UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # a boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # an array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # an object
    }
)

# Key that marks an object as a secret, a file or an unknown output.
SIGNATURE = rpc._special_sig_key

SECRET = rpc._special_secret_sig
ASSET = rpc._special_asset_sig
ARCHIVE = rpc._special_archive_sig

# Input in which a provider lists the properties that it filled in.
DEFAULTS = "__defaults"


def plain(value: Any) -> Any:
    """Return a wire value as a Python value. Secrets are unwrapped. An unknown value becomes one of UNKNOWNS."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET:
            return plain(fields["value"])
        return {key: plain(item) for key, item in fields.items()}
    if kind == "list_value":
        return [plain(item) for item in value.list_value.values]
    if kind == "number_value" and value.number_value.is_integer():
        return int(value.number_value)
    return None if kind in (None, "null_value") else getattr(value, kind)


def inputs(struct: Any) -> dict[str, Any]:
    """Return the program's inputs, without null values and without metadata of the provider and the engine."""
    return {
        key: given
        for key, item in struct.fields.items()
        if not key.startswith("__") and (given := plain(item)) is not None
    }


def secret_paths(struct: Any) -> list[str]:
    return [path for key, item in struct.fields.items() for path in _secret_paths(item, key)]


def _secret_paths(value: Any, at: str) -> Iterator[str]:
    match value.WhichOneof("kind"):
        case "struct_value":
            fields = value.struct_value.fields
            if SIGNATURE in fields and fields[SIGNATURE].string_value == SECRET:
                yield at
            else:
                for key, item in fields.items():
                    yield from _secret_paths(item, f"{at}.{key}")
        case "list_value":
            for index, item in enumerate(value.list_value.values):
                yield from _secret_paths(item, f"{at}[{index}]")


def struct(given: Mapping[str, Any]) -> Any:
    made = struct_pb2.Struct()
    made.update(given)
    return made


def is_unknown(value: object) -> bool:
    return isinstance(value, str) and value in UNKNOWNS


def has_unknown(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(has_unknown, value.values()))
    return any(map(has_unknown, value)) if isinstance(value, list) else is_unknown(value)
