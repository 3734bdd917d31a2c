"""The one JSON document of `json:`: secrets by the names and fields of the catalogue, as every store keeps them.

An unknown name is a mistake and no extra. No error of it repeats what was written.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class _Mqtt(_Strict):
    username: str = ""
    password: str = ""
    version: str = ""


class _AgentKey(_Strict):
    api_key: str = Field(default="", alias="api-key")
    version: str = ""


class _ClientCert(_Strict):
    ca: str = Field(default="", alias="ca.crt")
    certificate: str = Field(default="", alias="client.crt")
    key: str = Field(default="", alias="client.key")
    version: str = ""


class _HttpToken(_Strict):
    token: str = ""
    version: str = ""


class JsonDocument(_Strict):
    """Secrets and their fields, none of which has to be there."""

    mqtt: _Mqtt = _Mqtt()
    agent_key: _AgentKey = Field(default=_AgentKey(), alias="agent-key")
    client_cert: _ClientCert = Field(default=_ClientCert(), alias="client-cert")
    http_token: _HttpToken = Field(default=_HttpToken(), alias="http-token")


def places(error: ValidationError) -> str:
    """Where a document is not as it should be, without what stands there."""
    return ", ".join(".".join(map(str, one["loc"])) or "the whole" for one in error.errors(include_input=False))
