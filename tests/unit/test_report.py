"""The content of a report. Names from a log cannot inject anything into the page."""

import json
import os
import re
import stat
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from secretops.check import Level, Result, ok
from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations import doctor
from secretops.operations.history import history
from secretops.operations.report import report
from secretops.operations.status import Status
from secretops.report import page
from secretops.values import Value
from tests.real.ports import free_port
from tests.real.stack import Stack, make_stack
from tests.unit.report_data import HOSTILE, made
from tests.unit.test_cli import refused, run

CANARY = "canary-of-this-test-only"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=free_port(), protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker)


def published(stack: Stack, name: str, value: dict[str, str], *, days_ago: float = 0) -> Version:
    then = datetime.now(UTC).replace(microsecond=0) - timedelta(days=days_ago)
    session = stack.session()
    version = Version(id=f"v-{days_ago}", stage=Stage.PENDING, created=then)
    session.store.add(name, version, Value(value))
    session.store.publish(name, version.id, then)
    return version


def visible_text(text: str) -> str:
    words: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            words.append(data)

    Reader().feed(re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL))
    return " ".join(" ".join(words).split())


def test_a_report_has_the_age_of_each_secret_against_its_policy_the_latest_first(stack: Stack) -> None:
    published(stack, "client-cert", {"ca.crt": "a", "client.crt": "b", "client.key": CANARY}, days_ago=10)
    published(stack, "agent-key", {"api-key": CANARY}, days_ago=198)
    first, second, *others = report(stack.session(), examine=False).secrets
    assert (first.name, first.cadence_days, round(first.used or 0, 2), first.status) == (
        *("agent-key", 180, 1.1, Status.ATTENTION),
    )
    assert (second.name, round(second.age_days or 0)) == ("client-cert", 10)
    assert [one.used for one in others] == [None, None]


def test_overdue_secret_is_an_open_finding_that_needs_attention(stack: Stack) -> None:
    assert report(stack.session(), examine=False).exit_code is ExitCode.DONE
    published(stack, "agent-key", {"api-key": CANARY}, days_ago=198)
    found = report(stack.session(), examine=False)
    assert found.exit_code is ExitCode.ATTENTION
    (one,) = found.findings
    assert one.where == "secret agent-key" and "secretops put agent-key" in one.what


def test_a_check_that_could_not_look_is_an_open_finding(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = ("a check", Result(Level.UNKNOWN, "no answer", "a rule", "a remedy"))
    monkeypatch.setattr(doctor, "doctor", lambda _: [lost, ("another", ok("well"))])
    found = report(stack.session())
    assert [(one.where, one.level) for one in found.findings] == [("a check", Level.UNKNOWN)]
    assert found.exit_code is ExitCode.ATTENTION


def test_history_merges_journal_and_versions_in_order(stack: Stack) -> None:
    version = published(stack, "agent-key", {"api-key": CANARY}, days_ago=2)
    then = version.created
    stack.session().journal.write(
        Entry(time=then + timedelta(seconds=1), secret="agent-key", version=version.id, step="publish", outcome="done")
    )
    refusal = Entry(time=then - timedelta(days=1), secret="mqtt", version="v0", step="verify", outcome="refused")
    stack.session().journal.write(refusal)
    found = history(stack.session())
    assert found.lacking == ""
    assert [(one.secret, one.step) for one in found.entries] == [
        *(("mqtt", "verify"), ("agent-key", "prepare"), ("agent-key", "publish"))
    ]
    assert [one.step for one in history(stack.session(), since=then - timedelta(hours=1)).entries] == [
        "prepare",
        "publish",
    ]


def read_by(name: str, folder: Path, *, days_ago: float) -> Path:
    """Write a trail in which `name` read a value once."""
    record = {
        "time": (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(),
        "actor": f"{name}@host", "operation": "read", "secret": "mqtt", "version": "v1", "purpose": "to see",
    }  # fmt: skip
    trail = folder / "access.jsonl"
    trail.write_text(json.dumps(record) + "\n")
    return trail


def test_old_read_is_an_open_finding_for_a_month_or_as_chosen(stack: Stack, tmp_path: Path) -> None:
    trail = [str(read_by("mallory", tmp_path, days_ago=40))]
    found = report(stack.session(), trail=trail, examine=False)
    assert (found.findings, found.exit_code) == ((), ExitCode.DONE)
    assert "mallory" in visible_text(page(found))
    longer = report(stack.session(), trail=trail, since=datetime.now(UTC) - timedelta(days=50), examine=False)
    assert [one.where for one in longer.findings] == ["reads"]


def test_undeclared_reader_is_an_open_finding_and_its_name_is_escaped(stack: Stack, tmp_path: Path) -> None:
    trail = read_by(HOSTILE, tmp_path, days_ago=25)
    to = tmp_path / "report.html"
    done = run(stack, "report", "--to", str(to), "--json", "--trail", str(trail), "--skip-doctor")
    assert done.returncode == ExitCode.ATTENTION
    document = json.loads(done.stdout)
    (row,) = document["reads"]["view"]["rows"]
    assert (row["reader"], row["outcome"], row["declared"]) == (HOSTILE, "got value", False)
    assert HOSTILE in document["findings"][0]["what"]
    text = to.read_text()
    assert not re.search(r"<(script|img)", text)
    assert visible_text(text).count("<script>alert(1)</script>\\u202e\"><img src=x onerror='alert(2)'>{{ 7 * 7 }}") >= 2


def test_no_value_is_in_a_page_or_its_json(stack: Stack, tmp_path: Path) -> None:
    published(stack, "agent-key", {"api-key": CANARY})
    published(stack, "mqtt", {"username": "somebody", "password": CANARY})
    to = tmp_path / "report.html"
    done = run(stack, "report", "--to", str(to), "--json")
    assert CANARY.encode() not in done.stdout + done.stderr
    assert CANARY not in to.read_text()
    assert json.loads(done.stdout)["secrets"][0]["version"]


def test_the_browser_is_forbidden_everything_but_the_pages_own_style() -> None:
    text = page(made())
    assert "default-src 'none'; style-src 'sha256-" in text
    assert not re.search(r"(src|href|action)=\"(?!#)", text)
    assert not re.search(r"url\(|@import|<script|<link|style=\"| on\w+=\"", text.replace("onerror=&#39;", ""))


def test_report_replaces_a_file_privately(stack: Stack, tmp_path: Path) -> None:
    to = tmp_path / "report.html"
    for before in ("", "of last month"):
        to.write_text(before)
        assert run(stack, "report", "--to", str(to), "--skip-doctor").returncode == ExitCode.DONE
        assert to.read_text().startswith("<!DOCTYPE html>") and stat.S_IMODE(to.stat().st_mode) == 0o600
    done = run(stack, "report", "--to", "-", "--skip-doctor")
    assert done.stdout.endswith(b"</html>") and b"open findings" in done.stderr and not Path("-").exists()
    refused(run(stack, "report", "--to", "-", "--json"), ExitCode.USAGE, "[output-ambiguous]")


def test_report_to_what_is_no_regular_file_is_refused(stack: Stack, tmp_path: Path) -> None:
    link, fifo, mine = (tmp_path / name for name in ("link", "fifo", "mine"))
    mine.write_text("of somebody")
    link.symlink_to("mine")
    os.mkfifo(fifo)
    for place in (tmp_path, link, fifo, Path(os.devnull), tmp_path / "none" / "report.html"):
        refused(run(stack, "report", "--to", str(place), "--skip-doctor"), ExitCode.USAGE, str(place), "-> ")
    assert mine.read_text() == "of somebody"
