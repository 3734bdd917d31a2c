"""The one JSON document of `json:`: secrets by the names and fields of the catalogue, as every store keeps them.

A secret has all its fields, each with a text, or it is an empty object and has no value yet: a document that somebody
wrote by hand without a password is an error, and no version. A number or an object in the place of a text is one, too.
An unknown name is a mistake and no extra. No error of it repeats what was written.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Secret(_Strict):
    """One secret. `together` are its fields of which none stands without the others."""

    together: ClassVar[frozenset[str]]
    version: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> _Secret:
        given = self.model_fields_set
        lacking = self.together - given if given & self.together or given == {"version"} else frozenset()
        if lacking or not all(getattr(self, name) for name in given - {"version"}):
            raise ValueError("a field is missing or empty")
        return self


class _Mqtt(_Secret):
    together = frozenset({"username", "password"})
    username: str = ""
    password: str = ""


class _AgentKey(_Secret):
    together = frozenset({"api_key"})
    api_key: str = Field(default="", alias="api-key")


class _ClientCert(_Secret):
    together = frozenset({"certificate", "key"})
    ca: str = Field(default="", alias="ca.crt")
    certificate: str = Field(default="", alias="client.crt")
    key: str = Field(default="", alias="client.key")


class _HttpToken(_Secret):
    together = frozenset({"token"})
    token: str = ""


class JsonDocument(_Strict):
    """Secrets and their fields, none of which has to be there."""

    mqtt: _Mqtt = _Mqtt()
    agent_key: _AgentKey = Field(default=_AgentKey(), alias="agent-key")
    client_cert: _ClientCert = Field(default=_ClientCert(), alias="client-cert")
    http_token: _HttpToken = Field(default=_HttpToken(), alias="http-token")


def places(error: ValidationError) -> str:
    """Where a document is not as it should be, without what stands there."""
    return ", ".join(".".join(map(str, one["loc"])) or "the whole" for one in error.errors(include_input=False))
