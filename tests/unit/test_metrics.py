"""The metrics of `secretops status --prometheus` and of the launcher, and the alerts and the dashboard that use
them."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from prometheus_client.parser import text_string_to_metric_families

from components.settings.section import PROJECT_FOLDER
from secretops.engine.journal import Entry
from secretops.engine.state import Replica, Stage, Version
from secretops.errors import ExitCode
from secretops.launcher.http_options import BearerTokens
from secretops.launcher.state import LauncherState
from secretops.operations import external_certificates, metrics
from secretops.operations.external_certificates import ExternalCertificate
from secretops.operations.status import REASONS, STEP_FAILED, UNREADABLE, SecretStatus, Status
from tests.real.stack import Stack
from tests.unit.test_cli import refused, run
from tests.unit.test_launcher_http import answer, service
from tests.unit.test_report import CANARY, published, stack

__all__ = ["stack"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MONITORING = PROJECT_FOLDER / "monitoring"
RULES, DASHBOARD = MONITORING / "coreflux-mcp-secrets.rules.yml", MONITORING / "dashboard.json"
CURRENT = Version(
    id="v2", stage=Stage.CURRENT, created=NOW, published=NOW, verified=NOW, expires=NOW + timedelta(days=9)
)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Map each sample, as its name and the values of its labels except project and stack, to its value."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    named = {"project", "stack"}
    return {(one.name, *(value for name, value in one.labels.items() if name not in named)): one.value for one in found}


def replica(name: str, version: str) -> Replica:
    return Replica(id=name, user="u", secret="mqtt", version=version, since=NOW)


def rendered(stack: Stack, monkeypatch: pytest.MonkeyPatch, **facts: Any) -> str:
    """Return the metrics of one secret with all facts."""
    ends = ExternalCertificate(name="broker", source="mqtt.example.com:8883", begins=NOW, ends=NOW, remedy="renew it")
    monkeypatch.setattr(external_certificates, "find", lambda _: (ends,))
    stack.manifest = stack.manifest.model_copy(update={"replicas": 3})
    replicas = (replica("a", "v2"), replica("b", "v1"), replica("c", "v1"))
    row = SecretStatus(
        **{"name": "mqtt", "kind": "mqtt-user", "status": Status.VERIFIED, "notes": (CANARY,), "current": CURRENT,
           "due": NOW + timedelta(days=6), "replicas": replicas, **facts}
    )  # fmt: skip
    return metrics.render(stack.session(), [row])


def test_metrics_have_times_findings_and_servers_of_each_secret(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    text = rendered(stack, monkeypatch, status=Status.ATTENTION, reasons=("overdue", STEP_FAILED))
    found, day = samples(text), 86400
    assert CANARY not in text and f'stack="{stack.manifest.stack}"' in text
    assert {reason: found["secretops_secret_finding", reason, "mqtt"] for reason in REASONS} == {
        reason: float(reason in ("overdue", "step-failed")) for reason in REASONS
    }
    assert found["secretops_secret_needs_attention", "mqtt"] == 1
    times = {name: found[f"secretops_secret_{name}_timestamp_seconds", "mqtt"] - NOW.timestamp()
             for name in ("published", "verified", "due", "expires")}  # fmt: skip
    assert times == {"published": 0, "verified": 0, "due": 6 * day, "expires": 9 * day}
    assert [found["secretops_secret_servers", "mqtt", version] for version in ("current", "other")] == [1, 2]
    assert found["secretops_expected_servers",] == 3
    certificate = ("secretops_certificate_expires_timestamp_seconds", "broker", "mqtt.example.com:8883")
    assert found[certificate] == NOW.timestamp()


def test_unknown_facts_have_no_metric(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    text = rendered(stack, monkeypatch, status=Status.UNREADABLE, current=None, due=None, replicas=None)
    names = {name for name, *_ in samples(text)}
    assert not [name for name in names if re.search(r"secret_(servers|\w+_timestamp)", name)]
    assert samples(text)["secretops_secret_needs_attention", "mqtt"] == 1


def test_status_prints_metrics_and_exits_with_0_although_a_secret_needs_a_person(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(stack, "agent-key", {"api-key": CANARY}, days_ago=198)
    (stack.root / "versions/client-cert").mkdir(parents=True)
    (stack.root / "versions/client-cert/state.json").write_text("{")
    entry = Entry(time=datetime.now(UTC), secret="mqtt", version="v1", step="apply", outcome="no answer")
    stack.session().journal.write(entry)
    assert run(stack, "status").returncode == ExitCode.ATTENTION
    done = run(stack, "status", "--prometheus")
    found = samples(done.stdout.decode())
    assert done.returncode == ExitCode.DONE and CANARY not in done.stdout.decode()
    assert found["secretops_secret_finding", "due", "agent-key"] == 1
    assert found["secretops_secret_finding", UNREADABLE, "client-cert"] == 1
    assert found["secretops_secret_finding", STEP_FAILED, "mqtt"] == 1
    assert found["secretops_secret_needs_attention", "broker-admin"] == 0
    refused(run(stack, "status", "--prometheus", "--json"), ExitCode.USAGE, "[output-ambiguous]")


def of_the_code(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return the metrics of a server and of a stack."""
    state = LauncherState()
    state.use({"mqtt": "v-7"}, NOW)
    launcher = answer(service("127.0.0.1:8000", BearerTokens(), state), "/metrics").text
    return launcher, rendered(stack, monkeypatch)


def test_alerts_and_dashboard_use_metrics_and_reasons_of_the_code(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {name for text in of_the_code(stack, monkeypatch) for name, *_ in samples(text)}
    rules = yaml.safe_load(RULES.read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    in_alerts = {name for rule in alerts for name in re.findall(r"secretops_\w+", rule["expr"])}
    assert in_alerts < own
    assert set(re.findall(r"secretops_\w+", DASHBOARD.read_text())) == own, "each metric is on the dashboard"
    named = [reason for rule in alerts for reason in re.findall(r'reason=~?"([^"]+)', rule["expr"])]
    assert {reason for text in named for reason in text.split("|")} < set(REASONS)
    assert all((PROJECT_FOLDER / rule["annotations"]["runbook"]).is_file() for rule in alerts)
    page = (PROJECT_FOLDER / "docs/operations/monitoring.md").read_text()
    assert all(f"`{rule['alert']}`" in page for rule in alerts)


def test_dashboard_has_only_what_grafanas_schema_knows() -> None:
    document = json.loads(DASHBOARD.read_text())
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert again == document
    panels = document["panels"]
    places = {(x, y) for one in panels for at in [one["gridPos"]] for x in range(at["x"], at["x"] + at["w"])
              for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
    assert len(places) == sum(one["gridPos"]["w"] * one["gridPos"]["h"] for one in panels), "no panel covers another"
    assert max(x for x, _ in places) < 24


@pytest.mark.real
@pytest.mark.slow
def test_promtool_accepts_metrics_rules_and_queries_and_each_alert_fires_as_it_should(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed; on Debian or Ubuntu: apt-get install prometheus")
    queries = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]
    recorded = [{"record": f"panel:{at}", "expr": query} for at, query in enumerate(queries)]
    panels = tmp_path / "panels.yml"
    panels.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    check, test = [str(RULES), str(panels)], [str(RULES.with_suffix(".test.yml"))]
    calls = [(["check", "rules", *check], ""), (["test", "rules", *test], "")]
    calls += [(["check", "metrics"], text) for text in of_the_code(stack, monkeypatch)]
    for arguments, text in calls:
        done = subprocess.run([promtool, *arguments], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = RULES.with_suffix(".test.yml").read_text().partition("eval_time: 8h")[2]
    alerts = re.findall(r"alert: (\w+)", RULES.read_text())
    assert sorted(re.findall(r"alertname=\"(\w+)", tested)) == sorted(alerts), "each alert fires in the test"
