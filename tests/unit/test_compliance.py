"""The pages of rules and controls, and the command that writes them. test_pages.py checks that they are current."""

import json
from pathlib import Path

import pytest

from policies.compliance import main, pages
from policies.evidence import evidence, judge
from policies.plan import Plan
from tests.unit.policy_plans import broken, own, unprotected


def made(*plans: Plan) -> dict[str, str]:
    results = [(plan, judge(plan)) for plan in plans or (own("dev"),)]
    return pages(evidence(results, source="mocks", at="", commit="", tools={}))


def test_results_count_each_stack_and_name_what_is_broken() -> None:
    text = made(own("dev"), unprotected("secret-mqtt")(own("prod")), own("prod-azure", preview=True))["README.md"]
    counts = {line.split(" | ")[0]: line.strip("| ").split(" | ")[2:] for line in text.splitlines() if "|" in line}
    assert counts["| prod"] == ["1", "0"]
    assert int(counts["| prod-azure"][1]) > 0
    assert "**prod breaks [stack-is-protected-in-production]" in text


def test_the_command_writes_the_pages_of_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = broken(own("staging"), "", ("secretops", "broker", "tls"), False)
    made = evidence([(plan, judge(plan))], source="preview", at="", commit="", tools={"pulumi": "3"})
    monkeypatch.chdir(tmp_path)
    Path("evidence.json").write_text(json.dumps(made))
    assert main(["evidence.json"]) == 0
    assert "**staging breaks [stack-speaks-tls-to-the-broker]" in Path("compliance/README.md").read_text()
