"""`secretops history`: the versions of a secret, and the time and actor of each step."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secretops.access import this_actor
from secretops.engine.journal import LONGEST_ACTOR, Entry, SignedJournal
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode
from secretops.operations.history import history
from secretops.operations.import_values import ImportPlan, import_values
from secretops.operations.put import publish, put
from secretops.operations.rotators import advance
from secretops.operations.session import Session
from secretops.platforms.aws.labels import LabelState, last_label
from secretops.platforms.azure import tags
from secretops.platforms.dotenv.store import JournalFile
from secretops.platforms.kubernetes.secrets import SecretData
from secretops.platforms.kubernetes.store import SecretState
from secretops.platforms.swarm.version_state import VersionState
from secretops.platforms.vault import version_metadata
from secretops.platforms.vault.api import Metadata
from secretops.values import Value
from tests.real.stack import Stack
from tests.unit.test_cli import refused, run
from tests.unit.test_random_documents import key_vault
from tests.unit.test_report import CANARY, published, stack

__all__ = ["stack"]

NOW = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


def kubernetes(entry: Entry) -> Entry | None:
    state = SecretState("versions", SecretData(None), "mqtt")
    state.write_entry(entry)
    return state.last_entry


def swarm(entry: Entry) -> Entry | None:
    state = VersionState("book", {})
    state.write_entry("mqtt", entry)
    return state.last_entry("mqtt")


def azure(entry: Entry) -> Entry | None:
    state = key_vault()
    return key_vault(**{tags.LAST: tags.with_entry(state.main[0], entry)[tags.LAST]}).last("mqtt")


def aws(entry: Entry) -> Entry | None:
    found = LabelState({"v1": frozenset({last_label(entry)})}).last("mqtt")
    return found and found[1]


def vault(entry: Entry) -> Entry | None:
    metadata = Metadata(1, {}, {version_metadata.JOURNAL_KEY: version_metadata.journal_text(entry)})
    return version_metadata.last_entry("mqtt", metadata)


class Written:
    """A journal that stores entries as a store does."""

    def __init__(self, store: Callable[[Entry], Entry | None]) -> None:
        self._store, self.found = store, list[Entry | None]()

    def write(self, entry: Entry) -> None:
        self.found.append(self._store(entry))

    def last(self, secret: str) -> Entry | None:
        return next((entry for entry in reversed(self.found) if entry and entry.secret == secret), None)


@pytest.mark.parametrize("store", [kubernetes, swarm, azure, aws, vault])
@pytest.mark.parametrize("actor", ["rotator:app@host.example.com", "operator:DOM\\ü 1%2E@h", ""])
def test_newest_entry_of_each_store_names_who_took_the_step(store: Callable[[Entry], Entry | None], actor: str) -> None:
    journal = SignedJournal(Written(store), actor)
    entry = Entry(time=NOW, secret="mqtt", version="v.1", step="publish", outcome="sts.example.com: @no. answer")
    journal.write(entry)
    found = journal.last("mqtt")
    assert found == Entry(**{**vars(entry), "actor": actor})


def test_actor_is_cut_so_that_it_leaves_room_for_the_outcome() -> None:
    journal = SignedJournal(Written(aws), "rotator:" + "x" * 200)
    journal.write(Entry(time=NOW, secret="mqtt", version="v" * 36, step="publish", outcome="done"))
    found = journal.last("mqtt")
    assert found and (len(found.actor), found.outcome) == (LONGEST_ACTOR, "done")


def test_history_lists_versions_and_signed_steps_in_80_columns_without_a_value(stack: Stack) -> None:
    version = published(stack, "agent-key", {"api-key": CANARY}, days_ago=2)
    published(stack, "client-cert", {"ca.crt": "a", "client.crt": "b", "client.key": CANARY})
    for step, outcome in (("verify", "the agent refuses the key"), ("publish", "done")):
        time = version.created + timedelta(minutes=len(outcome))
        stack.session().journal.write(
            Entry(time=time, secret="agent-key", version=version.id, step=step, outcome=outcome)
        )
    stack.session().journal.write(Entry(time=NOW, secret="mqtt", version="v0", step="publish", outcome="done"))
    done = run(stack, "history", "agent-key", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["secret"], document["lacking"]) == (ExitCode.DONE, "agent-key", "")
    assert [(one["id"], one["stage"]) for one in document["versions"]] == [(version.id, "current")]
    assert [(one["step"], one["actor"]) for one in document["steps"]] == [
        ("prepare", ""),
        ("publish", this_actor("operator")[:LONGEST_ACTOR]),
        ("verify", this_actor("operator")[:LONGEST_ACTOR]),
    ]
    text = run(stack, "history", "agent-key", "--since", "1w").stdout.decode()
    assert version.id in text and "the agent refuses the key" in text and "client-cert" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert CANARY not in text + done.stdout.decode()


def imported(session: Session, name: str, value: Value) -> object:
    return import_values(session, ImportPlan(values={name: value}, origins={}, left=()), ".env")


def verified(session: Session, name: str, value: Value) -> object:
    return publish(session, session.secret(name), value, verified=True)


@pytest.mark.parametrize(("supply", "steps"), [
    (put, ["prepare", "publish"]), (imported, ["prepare", "publish"]), (verified, ["prepare", "verify", "publish"]),
])  # fmt: skip
def test_each_step_of_a_supplied_version_names_its_actor(
    stack: Stack, supply: Callable[[Session, str, Value], object], steps: list[str]
) -> None:
    session = stack.session()
    supply(session, "agent-key", Value({"api-key": CANARY}))
    actor = this_actor("operator")[:LONGEST_ACTOR]
    assert [(one.step, one.actor) for one in history(session).entries] == [(step, actor) for step in steps]


def test_publication_that_a_tick_finishes_names_its_actor(stack: Stack) -> None:
    session = stack.session()
    version = Version(id="v1", stage=Stage.PENDING, created=NOW)
    session.store.add("agent-key", version, Value({"api-key": CANARY}))
    advance(session, session.secret("agent-key"))
    last = session.journal.last("agent-key")
    assert last and (last.step, last.outcome, last.actor) == ("publish", "done", this_actor("operator")[:LONGEST_ACTOR])


def test_history_reads_a_rotators_log_and_refuses_an_unknown_name(stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "rotator.log"
    JournalFile(log).write(Entry(time=NOW, secret="mqtt", version="v0", step="retire", outcome="done", actor="me"))
    (step,) = json.loads(run(stack, "history", "mqtt", "--journal", str(log), "--json").stdout)["steps"]
    assert (step["version"], step["actor"]) == ("v0", "me")
    assert json.loads(run(stack, "history", "agent-key", "--journal", str(log), "--json").stdout)["steps"] == []
    refused(run(stack, "history", "nothing"), ExitCode.USAGE, "[secret-unknown]")
