"""The API keys of a DigitalOcean agent, in DigitalOcean's public API.

https://docs.digitalocean.com/reference/api/reference/gradientai-platform/
"""

from __future__ import annotations

import http
import os
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from secretops.engine.ports import NamedKey, UnknownOutcomeError
from secretops.errors import RefusedError, UnreachableError
from secretops.manifest import AGENT_ADMIN, OwnedAgent
from secretops.targets.https import Answer, Client, NoAnswerError, TimeBudget
from secretops.values import Value

Form = TypeVar("Form", bound=BaseModel)

API = "https://api.digitalocean.com"
API_VARIABLE = "DIGITALOCEAN_API_URL"  # overrides API, as in DigitalOcean's provider for Terraform

# The token's scopes; genai:read requires regions:read, sizes:read and actions:read.
SCOPES = "genai:create, genai:read, genai:delete"

PAGE = 100
_DENIED = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)


class _Info(BaseModel):
    uuid: str = Field(min_length=1)
    name: str | None = None
    secret_key: str | None = None
    deleted_at: Any = None


class _Meta(BaseModel):
    pages: int = 0
    total: int = 0


class _Page(BaseModel):
    """A page of a list. The API may omit an empty list, as protobuf's JSON does."""

    api_key_infos: list[_Info] | None = None
    meta: _Meta | None = None

    @property
    def is_valid(self) -> bool:
        return self.api_key_infos is not None or (self.meta is not None and not self.meta.total)


class DigitalOceanAgent:
    """One agent's keys. `admin` returns the agent owner's token for each request."""

    def __init__(self, agent: OwnedAgent, *, admin: Callable[[], Value], budget: TimeBudget | None = None) -> None:
        self._agent, self._admin, self._budget = agent, admin, budget or TimeBudget()
        self._path = _path(agent.id)

    @property
    def id(self) -> str:
        return self._agent.id

    def list_keys(self) -> tuple[NamedKey, ...]:
        client, found, number, pages = self._client(), list[NamedKey](), 0, 1
        while number < pages:
            number += 1
            answer = client.send("GET", f"{self._path}?page={number}&per_page={PAGE}")
            if answer.status != http.HTTPStatus.OK:
                raise self._refused(client, answer)
            page = _parsed(_Page, answer.json)
            if page is None or not page.is_valid:
                raise UnreachableError(
                    f"{client.host}: HTTP 200, but the answer has no list of keys",
                    rule="secretops must be able to list the keys before it creates or deletes one",
                    remedy=f"check that ${API_VARIABLE}, if set, is the URL of DigitalOcean's API",
                    code="agent-keys-unlisted",
                )
            found += [self._named(info) for info in page.api_key_infos or () if not info.deleted_at]
            pages = page.meta.pages if page.meta else 0
        return tuple(found)

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """Create a key. The request is sent only once, since a repetition could create a second key."""
        client = self._client()
        try:
            answer = client.send("POST", self._path, {"name": name}, retry=False)
        except NoAnswerError as error:
            raise UnknownOutcomeError(error.what, rule=error.rule, remedy=error.remedy, code="agent-key-lost") from None
        if answer.status < http.HTTPStatus.MULTIPLE_CHOICES:  # any 2xx: only this answer has the key
            made = _parsed(_Info, answer.json.get("api_key_info"))
            if made and made.secret_key:
                return self._named(made), Value({"api-key": made.secret_key})
        if not http.HTTPStatus.BAD_REQUEST <= answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnknownOutcomeError(
                f"{client.host}: {answer.summary}: the answer to the request for a new key has no key",
                rule="the API shows a key only in this answer; a key that nobody knows must be deleted",
                remedy="nothing to do: the next tick deletes the key",
                code="agent-key-lost",
            )
        raise self._refused(client, answer)

    def delete(self, key: NamedKey) -> None:
        client = self._client()
        answer = client.send("DELETE", f"{_path(key.agent)}/{key.id}")
        if answer.status not in (http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_FOUND):
            raise self._refused(client, answer)

    def verify(self, credential: Value) -> None:
        verify(self._agent.url, credential, budget=self._budget)

    def _client(self) -> Client:
        return Client(os.environ.get(API_VARIABLE) or API, self._admin()[AGENT_ADMIN[1]], self._budget)

    def _named(self, info: _Info) -> NamedKey:
        return NamedKey(self._agent.id, info.uuid, info.name or "")

    def _refused(self, client: Client, answer: Answer) -> RefusedError | UnreachableError:
        if answer.status in _DENIED:
            admin = AGENT_ADMIN[0]
            return RefusedError(
                f"{client.host}: {answer.summary} (agent {self._agent.id})",
                rule=f"{admin} must be an API token of the agent's owner with the scopes {SCOPES}",
                remedy=f"create such a token at DigitalOcean; then: secretops put {admin}",
                code="agent-token-denied",
            )
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return RefusedError(
                f"{client.host}: {answer.summary}: agent {self._agent.id} not found",
                rule="the agent must belong to the token's account",
                remedy="correct agent.id in the stack file (doctl genai agent list shows it), then pulumi up",
                code="agent-unknown",
            )
        return UnreachableError(
            f"{client.host}: {answer.summary}",
            rule="the API must answer the request; the next tick tries again",
            remedy="check https://status.digitalocean.com",
            code="agent-api-failing",
        )


def verify(url: str, credential: Value, *, budget: TimeBudget | None = None) -> None:
    """Request a completion of one token from the agent. Raises RefusedError if it rejects the key.

    https://docs.digitalocean.com/reference/api/reference/agent-inference/ (the API requires `model`, and ignores it)
    """
    client = Client(url, credential["api-key"], budget or TimeBudget())
    messages = [{"role": "user", "content": "Say yes."}]
    question = {"messages": messages, "model": "ignored", "max_tokens": 1, "stream": False}
    answer = client.send("POST", "/api/v1/chat/completions?agent=true", question)
    if answer.status == http.HTTPStatus.OK and isinstance(answer.json.get("choices"), list):
        return
    if answer.status in _DENIED:
        raise RefusedError(
            f"{client.host} rejects the key: HTTP {answer.status}",
            rule="a key must pass a test request to the agent before it is published",
            remedy="check that the key belongs to this agent, and was not deleted",
            code="agent-key-rejected",
        )
    raise UnreachableError(
        f"{client.host}: {answer.summary}: the answer has no completion",
        rule="a key must pass a test request to the agent before it is published",
        remedy="check that agent.url in the stack file is the agent's endpoint, and that the agent runs",
        code="agent-not-responding",
    )


def _path(agent: str) -> str:
    return f"/v2/gen-ai/agents/{agent}/api_keys"


def _parsed(model: type[Form], document: object) -> Form | None:
    try:
        return model.model_validate(document)
    except ValidationError:
        return None
