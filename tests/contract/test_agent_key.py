"""The agent key of a stack, owned and external, against a server of DigitalOcean's documented API."""

import contextlib
import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from secretops.check import Check, Level, Result
from secretops.engine.ports import NamedKey, UnknownOutcomeError
from secretops.engine.state import Version
from secretops.errors import ExitCode, RefusedError, UnreachableError, UsageError
from secretops.manifest import OwnedAgent
from secretops.operations import rotators
from secretops.operations.doctor import agent_key, doctor, run_repair
from secretops.operations.purge import purge
from secretops.operations.put import put
from secretops.operations.tick import Outcome
from secretops.targets.digitalocean import API_VARIABLE, DigitalOceanAgent
from secretops.targets.https import TRIES, Client, NoAnswerError, TimeBudget, check_url
from secretops.values import Value, new_password
from tests.real.agent_stack import AgentStack, external_stack, owned_stack
from tests.real.digitalocean import DigitalOcean, Fault, digitalocean

pytestmark = pytest.mark.real

HALF_A_YEAR = 86400 * 181
OTHERS = "somebody else's"
# Operation -> its fault.
FAULTS = [
    *(("create", fault) for fault in (Fault.BROKEN, Fault.BROKEN_AFTER, Fault.DROPPED_AFTER, Fault.GARBAGE_AFTER)),
    *(("list", fault) for fault in (Fault.LIMITED, Fault.OTHER_AFTER)),
    *(("complete", fault) for fault in (Fault.MOVED, Fault.BROKEN_AFTER)),
    *(("delete", fault) for fault in (Fault.BROKEN, Fault.DROPPED_AFTER)),
]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        yield made


@pytest.fixture
def account(alone: DigitalOcean) -> DigitalOcean:
    alone.add(OTHERS)
    return alone


@pytest.fixture
def owned(tmp_path: Path, account: DigitalOcean, monkeypatch: pytest.MonkeyPatch) -> AgentStack:
    stack = owned_stack(tmp_path / "store", account)

    def patiently(agent: OwnedAgent, admin: Callable[[], Value]) -> DigitalOceanAgent:
        return DigitalOceanAgent(agent, admin=admin, budget=TimeBudget(sleep=stack.clock.skip))

    monkeypatch.setattr(rotators, "open_agent", patiently)
    return stack


@pytest.fixture
def external(tmp_path: Path, account: DigitalOcean) -> AgentStack:
    return external_stack(tmp_path / "store", account)


def of_the_key(outcomes: list[Outcome]) -> Outcome:
    (found,) = [one for one in outcomes if one.secret == "agent-key"]
    return found


def ours(account: DigitalOcean) -> list[str]:
    assert OTHERS in account.names()
    return account.ids(but=OTHERS)


def key_of(version: Version) -> str:
    return NamedKey.of(version.user or "").id


def test_first_tick_delivers_a_key_that_the_agent_has_accepted(owned: AgentStack, account: DigitalOcean) -> None:
    outcome = of_the_key(owned.tick())
    current = owned.kept().current
    assert outcome.exit_code is ExitCode.DONE and current and current.verified and current.published
    assert ours(account) == [current.user] and account.takes(owned.key())
    assert account.shown == [owned.key()["api-key"]]
    assert dotenv_values(owned.env)["DO_AGENT_API_KEY"] == owned.key()["api-key"]


@pytest.mark.parametrize(("operation", "fault"), FAULTS)
def test_each_fault_leaves_a_working_key_and_no_orphan(
    owned: AgentStack, account: DigitalOcean, operation: str, fault: Fault
) -> None:
    owned.rotate("agent-key")
    owned.clock.skip(HALF_A_YEAR)
    owned.rotate("agent-key")
    owned.clock.skip(HALF_A_YEAR)  # a rotation deletes one, and makes one
    before = owned.key()
    account.fail(operation, fault)
    ticks = 0
    while before == owned.key():
        ticks += 1
        owned.tick()
        assert account.takes(owned.key()), "readers hold a key that the agent does not take"
        assert ticks <= 2
    owned.skip_grace()
    assert [one.error for one in owned.tick()] == [None, None]
    current = owned.kept().current
    assert account.faults == [] and current and ours(account) == [current.user]


def test_deleted_current_key_is_reported_and_replaced_within_an_hour(owned: AgentStack, account: DigitalOcean) -> None:
    owned.tick()
    current = owned.kept().current
    assert current and current.user
    account.delete(current.user)
    error = of_the_key(owned.tick()).error
    assert error and error.exit_code is ExitCode.ATTENTION
    assert key_of(current) in error.what and "who deleted the key" in error.remedy
    assert account.takes(owned.key()) and of_the_key(owned.tick()).error is None


def test_key_is_retried_until_the_agent_knows_it(owned: AgentStack, account: DigitalOcean) -> None:
    account.not_yet = 2
    assert of_the_key(owned.tick()).error is None
    assert account.takes(owned.key()) and account.shown == 3 * [owned.key()["api-key"]]


def test_token_is_verified_before_it_is_stored(owned: AgentStack, account: DigitalOcean) -> None:
    with pytest.raises(UsageError, match="secretops rotate agent-key"):
        owned.put("agent-key", {"api-key": new_password()})
    good = owned.session().store.versions("agent-admin").current
    assert good and good.verified
    account.scopes = {"genai:create", "genai:read"}
    with pytest.raises(RefusedError, match="HTTP 403"):
        owned.put("agent-admin", dict(account.admin))
    with pytest.raises(UsageError, match="control character"):
        owned.put("agent-admin", {"token": f"{new_password()}\n"})
    assert owned.session().store.versions("agent-admin").current == good


def test_external_key_is_published_once_its_agent_accepts_it(external: AgentStack, account: DigitalOcean) -> None:
    key = account.add("from the dashboard")
    version = external.put("agent-key", {"api-key": key.secret})
    assert version.verified and external.key() == {"api-key": key.secret}
    canary = new_password()
    with pytest.raises(RefusedError) as reported:
        external.put("agent-key", {"api-key": canary})
    assert canary not in str(reported.value)
    assert external.key() == {"api-key": key.secret} and external.kept().pending is None


def test_unreachable_agent_keeps_the_current_key_unless_untested(external: AgentStack, account: DigitalOcean) -> None:
    first, second = account.add("one"), account.add("other")
    external.put("agent-key", {"api-key": first.secret})
    account.fail("complete", Fault.GARBAGE_AFTER)
    with pytest.raises(UnreachableError, match="secretops put agent-key --untested"):
        external.put("agent-key", {"api-key": second.secret})
    assert external.key() == {"api-key": first.secret}
    requested = len(account.requested)
    version = put(external.session(), "agent-key", Value({"api-key": second.secret}), untested=True)
    assert (
        version.verified is None
        and external.key() == {"api-key": second.secret}
        and len(account.requested) == requested
    )


def test_newly_owned_agent_keeps_the_keys_of_others(
    tmp_path: Path, external: AgentStack, account: DigitalOcean
) -> None:
    key = account.add("from the dashboard")
    external.put("agent-key", {"api-key": key.secret})
    stack = owned_stack(tmp_path / "store", account)
    assert of_the_key(stack.tick()).error is None and stack.key() == {"api-key": key.secret}
    stack.rotate("agent-key")
    stack.skip_grace()
    assert of_the_key(stack.tick()).done[0].startswith("retired")
    assert "from the dashboard" in account.names() and account.takes(stack.key())
    assert stack.key() != {"api-key": key.secret}


def test_purge_deletes_agent_keys_and_names_those_it_could_not(owned: AgentStack, account: DigitalOcean) -> None:
    owned.rotate("agent-key")
    owned.rotate("agent-key")
    purge(owned.session(), destroy=True)
    assert ours(account) == []
    owned.put("agent-admin", dict(account.admin))
    owned.rotate("agent-key")
    (left,) = ours(account)
    account.scopes.remove("genai:delete")
    output = list[str]()
    purge(owned.session(), destroy=True, key_remains=output.append)
    assert [left.partition("/")[2] in text for text in output] == [True]
    assert owned.kept().all == () and ours(account) == [left]


def found(stack: AgentStack) -> Result:
    session = stack.session()
    ((_, result),) = doctor([Check("agent", lambda: agent_key(session, session.secret("agent-key")))])
    return result


def test_deleted_and_orphaned_keys_are_reported_and_repaired(tmp_path: Path, account: DigitalOcean) -> None:
    stack = owned_stack(tmp_path / "store", account)
    stack.rotate("agent-key")
    shown = list(account.shown)
    assert found(stack).level is Level.OK and account.shown == shown, "it costs no answer"
    late = account.add(account.names()[0])
    reported = found(stack)
    assert reported.level is Level.ATTENTION and late.id in reported.value
    assert reported.repair and not isinstance(run_repair(reported.repair), Exception)
    assert late.id not in account.keys and found(stack).level is Level.OK
    account.delete(ours(account)[0])
    reported = found(stack)
    assert reported.level is Level.ATTENTION and "deleted at the agent" in reported.value
    assert reported.repair and not isinstance(run_repair(reported.repair), Exception)
    assert account.takes(stack.key()) and found(stack).level is Level.OK


def test_revoked_key_is_reported(tmp_path: Path, account: DigitalOcean) -> None:
    stack = external_stack(tmp_path / "store", account)
    assert found(stack).level is Level.OK
    stack.put("agent-key", {"api-key": account.add("from the dashboard").secret})
    assert found(stack).level is Level.OK
    account.fail("complete", Fault.GARBAGE_AFTER)
    assert found(stack).level is Level.UNKNOWN
    account.delete(ours(account)[0])
    reported = found(stack)
    assert reported.level is Level.ATTENTION and "HTTP 401" in reported.value and reported.repair is None
    assert stack.key()["api-key"] not in str(reported)


pytestmark = pytest.mark.real

LOST = [Fault.BROKEN_AFTER, Fault.DROPPED_AFTER, Fault.GARBAGE_AFTER, Fault.OTHER_AFTER]


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def agent(alone: DigitalOcean, slept: list[float]) -> DigitalOceanAgent:
    known = OwnedAgent(url=alone.url, id=alone.agent, prefix="it")
    return DigitalOceanAgent(known, admin=lambda: alone.admin, budget=TimeBudget(sleep=slept.append))


def test_key_works_from_creation_until_deletion(agent: DigitalOceanAgent) -> None:
    key, value = agent.create("it-1")
    agent.verify(value)
    assert agent.list_keys() == (key,) and key.name == "it-1"
    agent.delete(key)
    agent.delete(key)
    assert agent.list_keys() == ()
    with pytest.raises(RefusedError):
        agent.verify(value)


def test_the_keys_of_all_pages_are_listed(alone: DigitalOcean, agent: DigitalOceanAgent) -> None:
    alone.most_on_a_page = 2
    names = {alone.add(f"it-{number}").name for number in range(5)}
    assert {key.name for key in agent.list_keys()} == names
    assert alone.requested.count("list") == 3


@pytest.mark.parametrize(("fault", "seconds"), [(Fault.LIMITED, (3, 3)), (Fault.LIMITED_UNTIL, (10, 50))])
def test_a_limit_on_requests_is_waited_for_as_long_as_it_says(
    alone: DigitalOcean, agent: DigitalOceanAgent, slept: list[float], fault: Fault, seconds: tuple[float, float]
) -> None:
    alone.fail("create", fault)
    key, _ = agent.create("it")
    assert agent.list_keys() == (key,)
    assert len(slept) == 1 and seconds[0] <= slept[0] <= seconds[1]


def test_loopback_request_bypasses_the_proxy(
    alone: DigitalOcean, agent: DigitalOceanAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with digitalocean(plain=True) as proxy, digitalocean(plain=True) as near:
        near.agent, near.token = alone.agent, alone.token
        monkeypatch.setenv(API_VARIABLE, near.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        agent.list_keys()
        assert proxy.requested == [] and near.requested == ["list"]


@pytest.mark.parametrize("start", ["200 -\r\n\r\n", "500 -\r\n\r\n", "200 -\r\nslow:"])
def test_slow_answer_ends_in_time(start: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                connection.sendall(f"HTTP/1.1 {start}".encode())
                for _ in range(100):
                    connection.sendall(b" ")
                    time.sleep(0.02)

        thread = threading.Thread(target=serve)
        thread.start()
        client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", "token", TimeBudget(each=0.2))
        with pytest.raises(NoAnswerError):
            client.send("GET", "/", retry=False)
        thread.join()


@pytest.mark.parametrize("fault", LOST)
def test_key_is_requested_once_and_a_loss_reported(alone: DigitalOcean, agent: DigitalOceanAgent, fault: Fault) -> None:
    alone.fail("create", fault)
    with pytest.raises(UnknownOutcomeError):
        agent.create("it")
    assert alone.requested == ["create"] and alone.names() == ["it"]


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.DROPPED_AFTER])
def test_idempotent_request_is_retried(
    alone: DigitalOcean, agent: DigitalOceanAgent, slept: list[float], fault: Fault
) -> None:
    key, value = agent.create("it")
    for operation in ("list", "complete", "delete"):
        alone.fail(operation, fault)
    assert agent.list_keys() == (key,)
    agent.verify(value)
    agent.delete(key)
    assert slept == [1, 1, 1] and alone.names() == []


@pytest.mark.parametrize("fault", [Fault.GARBAGE_AFTER, Fault.OTHER_AFTER, Fault.MOVED])
def test_an_answer_of_another_form_proves_nothing(alone: DigitalOcean, agent: DigitalOceanAgent, fault: Fault) -> None:
    """Such an answer counts neither as an empty list of keys, nor as an accepted key. A redirect is not followed."""
    _, value = agent.create("it")
    alone.requested.clear()
    alone.fail("list", *[fault] * TRIES)
    with pytest.raises(UnreachableError):
        agent.list_keys()
    alone.fail("complete", fault)
    with pytest.raises(UnreachableError):
        agent.verify(value)
    assert set(alone.requested) == {"list", "complete"} and alone.broken_rules == []


@pytest.mark.parametrize(("status", "admin"), [(403, None), (401, "dop_v1_other")])
def test_token_without_a_scope_or_access_is_refused(alone: DigitalOcean, status: int, admin: str | None) -> None:
    alone.scopes = set()
    token = admin or alone.token
    known, key = OwnedAgent(url=alone.url, id=alone.agent, prefix="it"), alone.add("another")
    agent = DigitalOceanAgent(known, admin=lambda: Value({"token": token}))
    delete = functools.partial(agent.delete, NamedKey(alone.agent, key.id, key.name))
    for ask in (agent.list_keys, functools.partial(agent.create, "it"), delete):
        with pytest.raises(RefusedError) as reported:
            ask()
        assert f"HTTP {status}" in reported.value.what and "genai:delete" in reported.value.rule
        assert token not in str(reported.value)


def test_a_key_that_the_agent_echoes_in_its_refusal_is_in_no_error(agent: DigitalOceanAgent) -> None:
    canary = new_password()
    with pytest.raises(RefusedError) as reported:
        agent.verify(Value({"api-key": canary}))
    assert canary not in str(reported.value) + repr(reported.value) + str(reported.value.__context__)


@pytest.mark.parametrize("token", ["two words", "two\nlines", "tokén"])
def test_token_unfit_for_a_header_is_refused_unprinted(token: str) -> None:
    with pytest.raises(UsageError) as reported:
        Client("https://example.com", token)
    assert token not in str(reported.value)


@pytest.mark.parametrize("url", ["http://example.com", "http://127.0.0.1.example.com", "https://user@example.com", ""])
def test_a_token_goes_to_a_server_over_tls_alone_or_stays_on_this_machine(url: str) -> None:
    for good in ("https://example.com/", "https://[::1]:8443", "http://[::1]:80"):
        check_url(good)
    with pytest.raises(UsageError):
        check_url(url)
