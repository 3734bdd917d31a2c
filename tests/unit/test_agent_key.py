"""The order in which an agent's keys are created, verified and deleted. Store and agent are in memory."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from secretops.engine.agent_key import TRIES, AgentKey
from secretops.engine.ports import NamedKey, UnknownOutcomeError
from secretops.engine.rotator import GraceError
from secretops.engine.state import Stage, Version
from secretops.errors import RefusedError, StoreError
from secretops.manifest import OwnedAgent, Reader, Secret, SecretKind
from secretops.values import Value
from tests.unit.memory import NOW, Memory, version

AGENT, PREFIX, GRACE = "00000000-0000-4000-8000-000000000001", "ours", timedelta(hours=1)
OTHERS = NamedKey(AGENT, "others", f"{PREFIX}-0123456789abcdef")
SECRET = Secret(
    name="agent-key", kind=SecretKind.AGENT_KEY, fields=("api-key",), readers=(Reader.SERVER, Reader.ROTATOR),
    cadence_days=90, agent=OwnedAgent(url="https://agent.example", id=AGENT, prefix=PREFIX),
)  # fmt: skip


@dataclass
class Agent:
    """An agent's keys in memory, and the calls to the agent. `lost`: the number of answers to `create` that get
    lost."""

    keys: dict[str, NamedKey] = field(default_factory=lambda: {OTHERS.id: OTHERS})
    calls: list[str] = field(default_factory=list)
    lost: int = 0
    refuses: bool = False
    id: str = AGENT

    def list_keys(self) -> tuple[NamedKey, ...]:
        return tuple(self.keys.values())

    def create(self, name: str) -> tuple[NamedKey, Value]:
        self.calls.append("create")
        key = NamedKey(AGENT, f"made-{len(self.calls)}", name)
        self.keys[key.id] = key
        if self.lost:
            self.lost -= 1
            raise UnknownOutcomeError("no answer", code="test")
        return key, Value({"api-key": f"value of {key.id}"})

    def delete(self, key: NamedKey) -> None:
        self.calls.append(f"delete {key.id}")
        self.keys.pop(key.id, None)

    def verify(self, credential: Value) -> None:
        self.calls.append(f"verify {credential['api-key']}")
        if self.refuses:
            raise RefusedError("no such key", code="test")

    @property
    def changes(self) -> list[str]:
        return [one for one in self.calls if not one.startswith("verify")]


def key_version(stage: Stage, **facts: bool | int) -> Version:
    return version(stage, f"{AGENT}/{stage}", **facts)  # type: ignore[arg-type]


def make(memory: Memory, agent: Agent, *versions: Version) -> AgentKey:
    """Return the rotator of a key. The agent has the keys of `versions`."""
    memory.keep(*versions)
    for one in versions:
        if one.user and not one.retired:
            key = NamedKey.of(one.user)
            agent.keys[key.id] = NamedKey(AGENT, key.id, f"{PREFIX}-made-for-{key.id}")
    return AgentKey(
        SECRET, prefix=PREFIX, agent=agent, admins=("admin",), store=memory.store(), journal=memory, clock=lambda: NOW,
        grace=GRACE, sleep=lambda _seconds: None,
    )  # fmt: skip


@pytest.fixture
def memory() -> Memory:
    return Memory(SECRET.name)


CURRENT, PREVIOUS = key_version(Stage.CURRENT), key_version(Stage.PREVIOUS, days_ago=90)


@pytest.mark.parametrize("current", [
    pytest.param(key_version(Stage.CURRENT, delivered=False), id="the current one is not delivered"),
    pytest.param(key_version(Stage.CURRENT, days_ago=0), id="the grace has just begun"),
])  # fmt: skip
def test_a_key_is_not_deleted_while_its_readers_may_have_no_other(memory: Memory, current: Version) -> None:
    agent = Agent()
    made = make(memory, agent, PREVIOUS, current)
    with pytest.raises(GraceError):
        made.advance()
    assert (agent.calls, memory.versions.pending) == ([], None)
    made.advance(force=True)
    assert agent.changes == ["delete previous", "create"]


@pytest.mark.parametrize("lost", range(TRIES))
def test_a_key_whose_answer_was_lost_is_deleted_before_the_next_is_made(memory: Memory, lost: int) -> None:
    agent = Agent(lost=lost)
    published = make(memory, agent, CURRENT).advance()
    assert set(agent.keys) == {OTHERS.id, "current", NamedKey.of(published.user or "").id}
    deletes = [one.startswith("delete") for one in agent.changes]
    assert deletes == [False, True] * lost + [False]


@pytest.mark.parametrize("step", ["create", "retire", "tidy", "replace"])
def test_a_rotator_that_lost_its_lease_changes_no_key(memory: Memory, step: str) -> None:
    agent = Agent(refuses=step == "replace")
    versions = {"retire": (PREVIOUS, CURRENT), "replace": (CURRENT, key_version(Stage.PENDING))}.get(step, (CURRENT,))
    made = make(memory, agent, *versions)
    if step == "tidy":
        left = NamedKey(AGENT, "left", made._name_after(CURRENT.id))
        agent.keys[left.id] = left
    before = dict(agent.keys)
    with made.store.lease("the stalled one"):
        listed = agent.list_keys

        def slowly() -> tuple[NamedKey, ...]:
            memory.follow()
            return listed()

        agent.list_keys = slowly  # type: ignore[method-assign]
        if step == "replace":
            memory.follow()
        with pytest.raises(StoreError, match="the lease is lost"):
            made.tidy() if step == "tidy" else made.advance()
    assert (agent.keys, agent.changes) == (before, [])
