"""The rules as a whole, and the ways in: a pack of Pulumi's, and a command over a preview's events."""

from __future__ import annotations

import importlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2

import policies
from components.section import PROJECT_FOLDER
from policies import pack
from policies.catalogue import rules
from policies.controls import CONTROLS
from policies.evidence import Verdict, evidence, judge
from policies.plan import NoPlanError, plan_from, plan_of_preview, resource, type_of
from policies.rule import CONCEALED, Enforcement, Environment, Framework, Plan, Rule
from secretops.values import new_password
from tests.unit.policy_plans import (
    SECRET,
    STACK_FILES,
    Break,
    broken,
    changed,
    events,
    shipped,
    unprotected,
    verdicts,
    wire,
)


@cache
def breaks() -> tuple[Break, ...]:
    """Every row of every table of the tests."""
    tables = sorted(Path(__file__).parent.glob("test_policies_*.py"))
    return tuple(one for table in tables for one in importlib.import_module(f"tests.unit.{table.stem}").BREAKS)


def shown_to_the_pack(plan: Plan) -> Any:
    """What the pack answers the engine, which shows it one resource after another and then the stack."""
    servicer = pack.Pack()
    for one in plan.resources:
        request = analyzer_pb2.AnalyzeRequest(urn=one.urn, type=one.type)
        request.options.parent, request.options.protect = one.parent or plan.urn, one.protect
        request.provider.name = one.provider or "default"
        ParseDict(wire(one.properties), request.properties)
        assert servicer.Analyze(request, None) == analyzer_pb2.AnalyzeResponse()
    whole = analyzer_pb2.AnalyzeStackRequest()
    for one in plan.resources:
        whole.resources.add(urn=one.urn, type=one.type)
    ParseDict(wire(plan.outputs), whole.resources.add(urn=plan.urn, type="pulumi:pulumi:Stack").properties)
    assert servicer.plan_of(whole) == plan
    return servicer.AnalyzeStack(whole, None)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.name)
def test_each_rule_is_shown_to_fail_by_a_row_of_its_platforms_table(rule: Rule) -> None:
    assert rule.name in {one.rule for one in breaks()}


@pytest.mark.parametrize("stack", STACK_FILES)
def test_each_stack_that_is_shipped_keeps_every_rule(stack: str) -> None:
    assert {name: said for name, said in verdicts(shipped(stack)).items() if said != "kept"} == {}


@pytest.mark.parametrize("stack", STACK_FILES)
def test_before_anything_is_made_none_is_broken(stack: str) -> None:
    before = verdicts(shipped(stack, preview=True))

    assert "broken" not in before.values()
    assert set(before) == set(verdicts(shipped(stack))), "what applies does not hang on what is known"


def test_each_file_of_a_platform_has_one_rule_named_after_the_platform() -> None:
    assert len({rule.name for rule in rules()}) == len(rules())
    for folder in (Path(one) for one in policies.__path__):
        for file in folder.glob("*/*.py"):
            found = re.findall(r"^RULE = Rule\(\s+name=\"([^\"]+)\"", file.read_text(), re.MULTILINE)
            assert len(found) == len(re.findall(r"\bRule\(", file.read_text())) <= 1, file.name
            assert all(re.fullmatch(rf"{file.parent.name}(-[a-z]+)+", name) for name in found), file.name


def test_each_rule_says_what_it_does_not_show_in_sentences() -> None:
    for rule in rules():
        assert rule.says.endswith("."), rule.name
        assert rule.shows_not.endswith("."), rule.name
        assert all(one.because and not one.because.endswith(".") for one in rule.controls), rule.name


def test_each_control_that_a_rule_names_is_known_and_each_that_is_known_is_named() -> None:
    named = {(one.framework, one.id) for rule in rules() for one in rule.controls}

    assert named == {(framework, control) for framework in Framework for control in CONTROLS[framework]}


def test_each_rule_serves_a_control_and_none_twice() -> None:
    for rule in rules():
        served = [(one.framework, one.id) for one in rule.controls]
        assert served, rule.name
        assert len(served) == len(set(served)), rule.name


@pytest.mark.parametrize("stack", ["dev", "prod", "prod-azure-kubernetes"])
def test_a_plan_is_read_from_a_previews_events_as_it_was(stack: str) -> None:
    plan = shipped(stack, preview=True)

    assert plan_of_preview("\n".join(["Previewing…", *events(plan), ""])) == plan


def test_of_what_the_engine_encrypts_the_mark_is_read_and_never_the_value() -> None:
    value = new_password()
    encrypted = {**SECRET, "value": value}
    plan = changed("", "leaked", to=encrypted)(broken(shipped("staging"), "namespace", ("hidden",), [encrypted]))

    read = plan_of_preview("\n".join(events(plan)))

    assert read.outputs["leaked"] is CONCEALED
    assert value not in repr(read)
    assert value not in str(shown_to_the_pack(read))


def test_what_is_to_be_removed_is_not_judged() -> None:
    plan = shipped("dev")
    gone = json.dumps({"resourcePreEvent": {"metadata": {"op": "delete", "old": {"urn": plan.urn}, "new": None}}})

    assert plan_of_preview("\n".join([gone, *events(plan)])) == plan


BUCKET, URN = "aws:s3/bucket:Bucket", "urn:pulumi:prod::{project}::{types}::{name}"


def test_of_another_program_only_what_lies_below_a_component_of_ours_is_judged_and_values_wherever_they_are() -> None:
    """A shop's bucket is not the trail's."""
    below = f"coreflux-mcp-secrets:index:CorefluxSecrets$coreflux-mcp-secrets:aws:Trail${BUCKET}"
    asked = [
        resource(URN.format(project="shop", types=types, name=name), {"tags": {"password": password}})
        for types, name, password in ((BUCKET, "web-logs", "not-A-real-1"), (below, "trail", ""))
    ]

    plan = plan_from(asked, {}, project="shop", stack="prod")

    assert [one.name for one in plan.of_type(BUCKET)] == ["trail"]
    broken = {one.rule.name: {each.resource for each in one.findings} for one in judge(plan) if one.findings}
    assert "aws-buckets-closed" in broken
    assert {rule for rule, urns in broken.items() if asked[0].urn in urns} == {"stack-holds-no-value"}
    assert len(plan_from(asked, {}, project="coreflux-mcp-secrets", stack="prod").resources) == len(asked)


def test_a_stack_that_does_not_say_its_environment_is_held_to_production() -> None:
    plan = changed("", "environment", to="testing")(shipped("dev"))

    assert plan_of_preview("\n".join(events(plan))).environment is Environment.PRODUCTION


@pytest.mark.parametrize(
    "text",
    ["", "error: no stack selected", '{\n  "steps": []\n}', "{}", '{"resourcePreEvent": {"metadata": {"new": null}}}'],
)
def test_what_is_no_stream_of_a_whole_preview_is_refused_with_the_command_that_gives_one(text: str) -> None:
    with pytest.raises(NoPlanError, match="PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview --json"):
        plan_of_preview(text)


def test_a_preview_that_gave_up_is_refused() -> None:
    *most, _ = events(shipped("dev"))

    with pytest.raises(NoPlanError, match="got through"):
        plan_of_preview("\n".join(most))


def test_the_pack_has_a_policy_for_each_rule_and_one_for_what_is_judged_later() -> None:
    told = pack.Pack().GetAnalyzerInfo(None, None)

    assert [one.name for one in told.policies] == [*(rule.name for rule in rules()), pack.LATER]
    levels = {one.name: one.enforcementLevel for one in told.policies}
    for rule in rules():
        assert (levels[rule.name] == analyzer_pb2.MANDATORY) == (rule.enforcement is Enforcement.MANDATORY)
    assert levels[pack.LATER] == analyzer_pb2.ADVISORY


def test_the_pack_fails_a_preview_by_name_rule_remedy_and_controls() -> None:
    (found,) = shown_to_the_pack(unprotected("secret-mqtt")(shipped("prod"))).diagnostics

    assert found.policyName == "stack-is-protected-in-production"
    assert found.enforcementLevel == analyzer_pb2.MANDATORY
    assert type_of(found.urn) == "aws:secretsmanager/secret:Secret"
    for told in ("secret-mqtt: ", "set protect", "SOC 2 A1.2", "PCI DSS 4.0.1 10.3.2", "GDPR 32(1)(b)"):
        assert told in found.message


def test_the_pack_tells_once_what_is_judged_later_and_does_not_say_that_it_passed() -> None:
    plan = shipped("prod", preview=True)
    answer = shown_to_the_pack(plan)

    (later,) = answer.diagnostics
    assert (later.policyName, later.enforcementLevel) == (pack.LATER, analyzer_pb2.ADVISORY)
    names = [one.rule.name for one in judge(plan) if one.verdict is Verdict.UNKNOWN]
    assert names
    assert all(name in later.message for name in names)
    passed = {rule.name for rule in rules()} - {one.policy_name for one in answer.not_applicable}
    assert passed == {name for name, said in verdicts(plan).items() if said == "kept"}


def test_a_program_that_made_nothing_is_not_judged() -> None:
    answer = pack.Pack().AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(), None)

    assert answer == analyzer_pb2.AnalyzeResponse()


def test_evidence_of_the_same_plans_is_the_same_each_time() -> None:
    plans = [shipped("dev"), shipped("staging")]
    made = [
        evidence([(plan, judge(plan)) for plan in plans], source="mocks", at="", commit="", tools={}) for _ in range(2)
    ]

    assert json.dumps(made[0]) == json.dumps(made[1])


def test_the_pack_is_a_folder_that_pulumi_can_run() -> None:
    folder = PROJECT_FOLDER / "policies"

    assert "virtualenv: ../.venv" in (folder / "PulumiPolicy.yaml").read_text()
    assert f"version: {pack.VERSION}\n" in (folder / "PulumiPolicy.yaml").read_text()
    assert (folder / "__main__.py").exists()
