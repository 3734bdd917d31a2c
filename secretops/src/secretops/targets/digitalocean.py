"""The API keys of a DigitalOcean agent, by its public API.

https://docs.digitalocean.com/reference/api/reference/gradientai-platform/
"""

from __future__ import annotations

import http
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

from secretops.engine.ports import NamedKey, UnknownOutcomeError
from secretops.errors import RefusedError, UnreachableError
from secretops.manifest import AGENT_ADMIN, OwnedAgent
from secretops.targets.https import Answer, Client, NoAnswerError, Patience
from secretops.values import Value

API = "https://api.digitalocean.com"
API_VARIABLE = "DIGITALOCEAN_API_URL"  # replaces API, as in DigitalOcean's provider for Terraform

# The token's scopes; genai:read requires regions:read, sizes:read and actions:read.
SCOPES = "genai:create, genai:read, genai:delete"

PAGE = 100
MOST_PAGES = 50

_DENIED = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)


class DigitalOceanAgent:
    """The keys of one agent. `admin` returns its owner's token, and is called when a request needs it."""

    def __init__(
        self,
        agent: OwnedAgent,
        *,
        admin: Callable[[], Value],
        sleep: Callable[[float], None] = time.sleep,
        patience: Patience | None = None,
    ) -> None:
        self._agent, self._admin, self._sleep = agent, admin, sleep
        self._patience = patience or Patience()
        self._path = _path(agent.id)

    @property
    def id(self) -> str:
        return self._agent.id

    def list_keys(self) -> tuple[NamedKey, ...]:
        """Return all keys."""
        return tuple(self._pages_of(self._client()))

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """Make a key called `name`. Sent once: the API has no idempotency token."""
        client = self._client()
        try:
            answer = client.ask("POST", self._path, {"name": name}, again=False)
        except NoAnswerError as error:
            raise UnknownOutcomeError(error.what, rule=error.rule, remedy=error.remedy) from None
        made = answer.json.get("api_key_info")
        if answer.status < http.HTTPStatus.MULTIPLE_CHOICES and isinstance(made, dict):  # any 2xx: it is shown once
            key, secret = self._named(made), made.get("secret_key")
            if key and isinstance(secret, str) and secret:
                return key, Value({"api-key": secret})
        if not http.HTTPStatus.BAD_REQUEST <= answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise UnknownOutcomeError(
                f"{client.host}: {answer.said}, and no key",
                rule="a key is shown once, when it is made; one that nobody saw is deleted",
                remedy="nothing to do: the next tick looks for it by its name",
            )
        raise self._refused(client, answer)

    def delete(self, key: NamedKey) -> None:
        """Delete `key`. A missing one is no error."""
        client = self._client()
        answer = client.ask("DELETE", f"{_path(key.agent)}/{key.id}")
        if answer.status not in (http.HTTPStatus.OK, http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_FOUND):
            raise self._refused(client, answer)

    def verify(self, credential: Value) -> None:
        """Send the agent a request with the key."""
        verify(self._agent.url, credential, sleep=self._sleep, patience=self._patience)

    def _client(self) -> Client:
        base = os.environ.get(API_VARIABLE) or API
        return Client(base, self._admin()[AGENT_ADMIN[1]], sleep=self._sleep, patience=self._patience)

    def _pages_of(self, client: Client) -> Iterator[NamedKey]:
        for page in range(1, MOST_PAGES + 1):
            answer = client.ask("GET", f"{self._path}?page={page}&per_page={PAGE}")
            if answer.status != http.HTTPStatus.OK:
                raise self._refused(client, answer)
            found = _infos(answer.json)
            keys = [self._named(one) for one in found]
            if None in keys:
                raise UnreachableError(
                    f"{client.host}: HTTP 200, and no list of keys",
                    rule="nothing is made or deleted where it is not known which keys there are",
                    remedy=f"does ${API_VARIABLE}, where it is set, lead to DigitalOcean's API?",
                )
            yield from (key for key, one in zip(keys, found, strict=True) if key and not one.get("deleted_at"))
            if page >= _pages(answer.json):
                return
        raise UnreachableError(
            f"{client.host}: more than {MOST_PAGES * PAGE} keys of agent {self._agent.id}",
            rule="a key is looked for among all of them",
            remedy="delete those that nobody uses",
        )

    def _named(self, info: Any) -> NamedKey | None:
        """Return the key that `info` describes, or None. Its name may be empty."""
        if not isinstance(info, dict) or not isinstance(info.get("uuid"), str) or not info["uuid"]:
            return None
        name = info.get("name")
        return NamedKey(self._agent.id, info["uuid"], name if isinstance(name, str) else "")

    def _refused(self, client: Client, answer: Answer) -> RefusedError | UnreachableError:
        what = f"{client.host}: {answer.said}"
        if answer.status in _DENIED:
            return RefusedError(
                f"{what} (agent {self._agent.id})",
                rule=f"{AGENT_ADMIN[0]} is a token of the agent's owner with the scopes {SCOPES}",
                remedy=f"secretops put {AGENT_ADMIN[0]}",
            )
        if answer.status == http.HTTPStatus.NOT_FOUND:
            return RefusedError(
                f"{what}: agent {self._agent.id} is not there",
                rule="keys are made of an agent of the token's own account",
                remedy="correct agent.id in the stack file (doctl genai agent list shows it), then pulumi up",
            )
        return UnreachableError(
            what,
            rule="it was asked as its documentation has it",
            remedy="https://status.digitalocean.com tells whether it serves; the next tick tries again",
        )


def verify(
    url: str, credential: Value, *, sleep: Callable[[float], None] = time.sleep, patience: Patience | None = None
) -> None:
    """Have the agent at `url` answer with one token. Raises RefusedError when it does not accept the key.

    https://docs.digitalocean.com/reference/api/reference/agent-inference/ (its form asks for a model, and ignores it)
    """
    client = Client(url, credential["api-key"], sleep=sleep, patience=patience or Patience())
    question = {
        "messages": [{"role": "user", "content": "Say yes."}],
        "model": "ignored",
        "max_tokens": 1,
        "stream": False,
    }
    answer = client.ask("POST", "/api/v1/chat/completions?agent=true", question)
    if answer.status == http.HTTPStatus.OK and isinstance(answer.json.get("choices"), list):
        return
    if answer.status in _DENIED:
        raise RefusedError(
            f"{client.host} does not take the key: HTTP {answer.status}",
            rule="a key is published once the agent has answered to it",
            remedy="is it a key of this agent, and was it not deleted?",
        )
    raise UnreachableError(
        f"{client.host}: {answer.said}, and no completion",
        rule="a key is published once the agent has answered to it",
        remedy="is that the agent's endpoint, and does it run?",
    )


def _path(agent: str) -> str:
    return f"/v2/gen-ai/agents/{agent}/api_keys"


def _infos(answer: dict[str, Any]) -> list[Any]:
    """Return the keys of a page, which may omit an empty list (protobuf's JSON); [None] for an invalid one."""
    meta = answer.get("meta")
    empty = isinstance(meta, dict) and not meta.get("total")
    found = answer.get("api_key_infos", [] if empty else None)
    return found if isinstance(found, list) else [None]


def _pages(answer: dict[str, Any]) -> int:
    """Return the number of pages, or 0."""
    meta = answer.get("meta")
    pages = meta.get("pages") if isinstance(meta, dict) else None
    return pages if isinstance(pages, int) else 0
