"""The base classes of a manifest's models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticKnownError


class Model(BaseModel):
    """Frozen, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreLocation(Model):
    """Where a store is, by names alone. `kind` names its platform, whose subclass has the rest."""

    kind: str

    @property
    def folder(self) -> Path | None:
        """The folder of this machine that the store is, with the journal and access records; None for any other."""
        return None


class Issuer(Model):
    """Who signs a certificate. `kind` is listed by the issuer's platform, whose subclass has the rest."""

    kind: str
    if TYPE_CHECKING:  # a subclass declares both, in the order in which its JSON has them
        common_name: str
        """The client's name in the certificate."""
        seconds: int
        """The lifetime that is requested."""

    @property
    def revocation(self) -> str:
        """Return the command that revokes one of its certificates, with who may; "" if it revokes none."""
        return ""


def by_kind(
    base: type[Model], kinds: Callable[[], Iterable[str]], model: Callable[[str], type[Model]]
) -> BeforeValidator:
    """Return a validator that makes what has a `kind` an instance of `model(kind)`, a subclass of `base`.

    Its errors are those of pydantic's own tagged union. Models are loaded when a manifest names their kind.
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
            expected = ", ".join(f"'{one}'" for one in known)
            raise PydanticKnownError(
                "union_tag_invalid", {"discriminator": "'kind'", "tag": str(kind), "expected_tags": expected}
            )
        return model(kind).model_validate(value)

    return BeforeValidator(check)
