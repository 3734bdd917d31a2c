from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticKnownError


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# Built at once: to serialize a value of a subclass with its own fields, pydantic needs the subclass's serializer.
_BUILT = ConfigDict(defer_build=False)


class StoreLocation(Model):
    """Names that locate a store. `kind` selects a platform's subclass."""

    model_config = _BUILT
    kind: str

    @property
    def folder(self) -> Path | None:
        """Return the local folder of the store; None for a remote store."""
        return None


class Issuer(Model):
    """An issuer of certificates. `kind` selects a platform's subclass."""

    model_config = _BUILT
    kind: str
    if TYPE_CHECKING:  # a subclass declares both fields, in the order of its JSON
        # Common name of the client certificate.
        common_name: str
        # Requested lifetime.
        seconds: int

    @property
    def revocation(self) -> str:
        """Return the command that revokes a certificate and who may run it, or ""."""
        return ""


def by_kind(
    base: type[Model], kinds: Callable[[], Iterable[str]], model: Callable[[str], type[Model]]
) -> BeforeValidator:
    """Return a validator that parses a section as `model(kind)`, a subclass of `base`.

    Unlike pydantic's tagged union, it imports only the model of the kind in use.
    """

    def check(value: Any) -> Any:
        if value is None or isinstance(value, base):
            return value
        if not isinstance(value, Mapping):
            raise PydanticKnownError("model_attributes_type")
        if "kind" not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'kind'"})
        known, kind = list(kinds()), value["kind"]
        if kind not in known:
            expected = ", ".join(f"'{name}'" for name in known)
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": "'kind'", "tag": str(kind), "expected_tags": expected}
            )
        return model(kind).model_validate(value)

    return BeforeValidator(check)
