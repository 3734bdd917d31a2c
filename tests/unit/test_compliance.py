"""The page of controls and rules, and what makes it. That it is up to date is in test_pages.py."""

import json
from pathlib import Path

import pytest

from policies.catalogue import rules
from policies.compliance import main, page
from policies.evidence import evidence, judge
from policies.plan import Plan
from tests.unit.policy_plans import broken, own, unprotected


def made(*plans: Plan, at: str = "", commit: str = "") -> str:
    told = [(plan, judge(plan)) for plan in plans or (own("dev"),)]
    return page(evidence(told, source="mocks", at=at, commit=commit, tools={}))


def test_each_control_is_listed_in_its_framework_with_the_rules_that_serve_it_and_why() -> None:
    text = made()
    for rule in rules():
        for control in rule.controls:
            controls = text.partition(f"\n### {control.framework}\n")[2].partition("\n#")[0]
            served = controls.partition(f"\n**{control.id}**: ")[2].partition("\n**")[0].splitlines()
            (line,) = (one for one in served if one.startswith(f"* {control.because}: "))
            assert f"[`{rule.name}`](#{rule.name})" in line


def test_results_count_each_stack_and_name_what_is_broken() -> None:
    text = made(own("dev"), unprotected("secret-mqtt")(own("prod")), own("staging", preview=True))
    (prod,) = (line for line in text.splitlines() if line.startswith("| prod | production |"))
    assert prod.split(" | ")[3:5] == ["1", "0"]
    assert "**prod breaks stack-is-protected-in-production**: `secret-mqtt`" in text
    (early,) = (line for line in text.splitlines() if line.startswith("| staging | staging |"))
    assert int(early.split(" | ")[4]) > 0


def test_the_command_makes_the_page_of_evidence_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = broken(own("staging"), "", ("secretops", "broker", "tls"), False)
    (tmp_path / "evidence.json").write_text(
        json.dumps(evidence([(plan, judge(plan))], source="preview", at="", commit="", tools={"pulumi": "3"}))
    )
    assert main([str(tmp_path / "evidence.json")]) == 0
    assert "**staging breaks stack-speaks-tls-to-the-broker**" in capsys.readouterr().out
