"""The keys of an agent, by a server that speaks DigitalOcean's documented API: what is asked, waited for, told."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from secretops.errors import RefusedError, UnreachableError, UsageError
from secretops.manifest import OwnedAgent
from secretops.targets.agents import LostError, NamedKey
from secretops.targets.digitalocean import API_VARIABLE, DigitalOceanAgent
from secretops.targets.https import TRIES, Client, Patience, check_url
from secretops.values import Value, new_password
from tests.real.digitalocean import DigitalOcean, Fault, digitalocean

pytestmark = pytest.mark.real

LOST = [Fault.BROKEN_AFTER, Fault.DROPPED_AFTER, Fault.GARBAGE_AFTER, Fault.OTHER_AFTER]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        yield made


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def agent(account: DigitalOcean, slept: list[float]) -> DigitalOceanAgent:
    known = OwnedAgent(url=account.url, id=account.agent, prefix="it")
    return DigitalOceanAgent(known, admin=lambda: account.admin, sleep=slept.append, patience=Patience(each=5))


def test_a_key_is_taken_from_when_it_is_made_until_it_is_deleted(agent: DigitalOceanAgent) -> None:
    key, value = agent.create("it-1")
    agent.verify(value)
    assert agent.listed() == (key,) and key.name == "it-1"

    agent.delete(key)
    agent.delete(key)

    assert agent.listed() == ()
    with pytest.raises(RefusedError):
        agent.verify(value)


def test_the_keys_of_all_pages_are_listed(account: DigitalOcean, agent: DigitalOceanAgent) -> None:
    account.most_on_a_page = 2
    names = {account.add(f"it-{number}").name for number in range(5)}
    assert {key.name for key in agent.listed()} == names
    assert account.asked.count("list") == 3


@pytest.mark.parametrize(("fault", "seconds"), [(Fault.LIMITED, (3, 3)), (Fault.LIMITED_UNTIL, (17, 20))])
def test_a_limit_on_requests_is_waited_for_as_long_as_it_says(
    account: DigitalOcean, agent: DigitalOceanAgent, slept: list[float], fault: Fault, seconds: tuple[float, float]
) -> None:
    account.fail("create", fault)
    key, _ = agent.create("it")
    assert agent.listed() == (key,)
    assert len(slept) == 1 and seconds[0] <= slept[0] <= seconds[1]


def test_what_stays_on_this_machine_is_shown_to_no_proxy(
    account: DigitalOcean, agent: DigitalOceanAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with digitalocean() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        agent.listed()
        assert proxy.asked == [] and account.asked == ["list"]


@pytest.mark.parametrize("fault", LOST)
def test_a_key_is_asked_for_once_and_whoever_got_none_says_that_it_may_be_there(
    account: DigitalOcean, agent: DigitalOceanAgent, fault: Fault
) -> None:
    account.fail("create", fault)
    with pytest.raises(LostError):
        agent.create("it")
    assert account.asked == ["create"] and account.names() == ["it"]


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.DROPPED_AFTER])
def test_what_may_be_asked_again_is(
    account: DigitalOcean, agent: DigitalOceanAgent, slept: list[float], fault: Fault
) -> None:
    key, value = agent.create("it")
    for operation in ("list", "complete", "delete"):
        account.fail(operation, fault)
    assert agent.listed() == (key,)
    agent.verify(value)
    agent.delete(key)
    assert slept == [1, 1, 1] and account.names() == []


@pytest.mark.parametrize("fault", [Fault.GARBAGE_AFTER, Fault.OTHER_AFTER, Fault.MOVED])
def test_an_answer_of_another_form_proves_nothing(
    account: DigitalOcean, agent: DigitalOceanAgent, fault: Fault
) -> None:
    """It is neither an empty list, nor the agent's yes to a key. A redirect is not followed."""
    _, value = agent.create("it")
    account.asked.clear()
    account.fail("list", *[fault] * TRIES)
    with pytest.raises(UnreachableError):
        agent.listed()
    account.fail("complete", fault)
    with pytest.raises(UnreachableError):
        agent.verify(value)
    assert set(account.asked) == {"list", "complete"} and account.broken_rules == []


@pytest.mark.parametrize(("status", "admin"), [(403, None), (401, "dop_v1_other")])
def test_a_token_without_a_scope_or_of_somebody_else_is_refused_with_what_it_has_to_have(
    account: DigitalOcean, status: int, admin: str | None
) -> None:
    account.scopes = set()
    token = admin or account.token
    known, key = OwnedAgent(url=account.url, id=account.agent, prefix="it"), account.add("another")
    agent = DigitalOceanAgent(known, admin=lambda: Value({"token": token}))
    delete = functools.partial(agent.delete, NamedKey(account.agent, key.id, key.name))
    for ask in (agent.listed, functools.partial(agent.create, "it"), delete):
        with pytest.raises(RefusedError) as told:
            ask()
        assert f"HTTP {status}" in told.value.what and "genai:delete" in told.value.rule
        assert token not in str(told.value)


def test_a_key_that_the_agent_echoes_in_its_refusal_is_in_no_error(agent: DigitalOceanAgent) -> None:
    canary = new_password()
    with pytest.raises(RefusedError) as told:
        agent.verify(Value({"api-key": canary}))
    assert canary not in str(told.value) + repr(told.value) + str(told.value.__context__)


@pytest.mark.parametrize("token", ["two words", "two\nlines", "tokén"])
def test_a_token_that_no_header_carries_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(UsageError) as told:
        Client("https://example.com", token)
    assert token not in str(told.value)


@pytest.mark.parametrize("url", ["http://example.com", "http://127.0.0.1.example.com", "https://user@example.com", ""])
def test_a_token_goes_to_a_server_over_tls_alone_or_stays_on_this_machine(url: str) -> None:
    for good in ("https://example.com/", "https://[::1]:8443", "http://[::1]:80"):
        check_url(good)
    with pytest.raises(UsageError):
        check_url(url)
