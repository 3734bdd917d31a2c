"""The rules as a whole, and their entry points: a policy pack, and a command over a preview's events."""

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2

from policies import evidence, pack
from policies.controls import CONTROLS
from policies.evidence import Verdict, judge
from policies.matchers import not_set
from policies.plan import (
    CONCEALED,
    UNKNOWN,
    Environment,
    Plan,
    plan_from,
    plan_of_preview,
    resource,
    type_of,
)
from policies.rule import Enforcement, Expect, Framework, Rule, rules
from secretops.values import new_password
from tests.unit.policy_plans import (
    SECRET,
    STACK_FILES,
    broken,
    changed,
    events,
    named,
    own,
    shipped,
    unprotected,
    verdicts,
    wire,
)


def shown_to_the_pack(plan: Plan, servicer: pack.Pack | None = None) -> Any:
    """Return the pack's answer about the whole stack, after the diagnostics of its single resources."""
    servicer, found = servicer or pack.Pack(), []
    for one in plan.resources:
        request = analyzer_pb2.AnalyzeRequest(urn=one.urn, type=one.type)
        request.options.parent, request.options.protect = one.parent or plan.urn, one.protect
        request.provider.name = one.provider or "default"
        ParseDict(wire(one.properties), request.properties)
        found += servicer.Analyze(request, None).diagnostics
    whole = analyzer_pb2.AnalyzeStackRequest()
    for one in plan.resources:
        whole.resources.add(urn=one.urn, type=one.type)
    ParseDict(wire(plan.outputs), whole.resources.add(urn=plan.urn, type="pulumi:pulumi:Stack").properties)
    assert servicer.plan_of(whole) == plan
    answer = servicer.AnalyzeStack(whole, None)
    return analyzer_pb2.AnalyzeResponse(diagnostics=[*found, *answer.diagnostics], not_applicable=answer.not_applicable)


@pytest.mark.parametrize("stack", STACK_FILES)
def test_each_stack_that_is_shipped_keeps_every_rule(stack: str) -> None:
    assert {name: result for name, result in verdicts(shipped(stack)).items() if result != "kept"} == {}


def test_each_control_that_a_rule_names_is_known_and_each_that_is_known_is_named() -> None:
    named = {(one.framework, one.id) for rule in rules() for one in rule.controls}
    assert named == {(framework, control) for framework in Framework for control in CONTROLS[framework]}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_plan_is_read_from_a_previews_events_as_it_was(stack: str) -> None:
    plan = own(stack, preview=True)
    assert plan_of_preview("\n".join(["Previewing…", *events(plan), ""])) == plan


def test_encrypted_value_is_read_as_a_mark_only() -> None:
    value = new_password()
    encrypted = {**SECRET, "value": value}
    plan = changed("", "leaked", to=encrypted)(broken(own("staging"), "namespace", ("hidden",), [encrypted]))
    read = plan_of_preview("\n".join(events(plan)))
    assert read.outputs["leaked"] is CONCEALED
    assert value not in repr(read)
    assert value not in str(shown_to_the_pack(read))


PROVIDER, BUCKET, URN = (
    "pulumi:providers:kubernetes",
    "aws:s3/bucket:Bucket",
    "urn:pulumi:prod::{project}::{types}::{name}",
)


def test_of_another_program_only_what_is_below_our_component_is_judged() -> None:
    """Another program may have buckets of its own, such as a shop's."""
    below = f"coreflux-mcp-secrets:index:CorefluxSecrets$coreflux-mcp-secrets:aws:AccessTrail${BUCKET}"
    buckets = [
        resource(URN.format(project="shop", types=types, name=name), {"tags": {"password": password}})
        for types, name, password in ((BUCKET, "web-logs", "not-A-real-1"), (below, "trail", ""))
    ]
    plan = plan_from(buckets, {}, project="shop", stack="prod")
    assert [one.name for one in plan.of_type(BUCKET)] == ["trail"]
    broken = {one.rule.name: {each.resource for each in one.findings} for one in judge(plan) if one.findings}
    assert "aws-buckets-closed" in broken
    assert {rule for rule, urns in broken.items() if buckets[0].urn in urns} == {"stack-holds-no-value"}
    assert len(plan_from(buckets, {}, project="coreflux-mcp-secrets", stack="prod").resources) == len(buckets)


@pytest.mark.parametrize(("type_", "name"), [(PROVIDER, "mine"), (PROVIDER, "shop"), ("pulumi:providers:aws", "mine")])
def test_programs_own_provider_is_judged_if_our_resources_use_it(type_: str, name: str) -> None:
    below = "coreflux-mcp-secrets:index:CorefluxSecrets$kubernetes:core/v1:Namespace"
    namespace = resource(URN.format(project="shop", types=below, name="n"), {}, provider="mine")
    provider = resource(URN.format(project="shop", types=type_, name=name), {"kubeconfig": "a login"})
    plan = plan_from([namespace, provider], {}, project="shop", stack="prod")
    is_used = (type_, name) == (PROVIDER, "mine")
    assert (provider in plan.resources, provider in plan.others) == (is_used, not is_used)
    (found,) = named("kubernetes-provider-has-no-login").findings(plan)
    assert ("kubeconfig" in found.message) == is_used


def test_manifest_as_json_is_judged_as_the_manifest_itself() -> None:
    """A plugin's output `secretops` is text (package/plugin)."""
    plan = own("prod")
    outputs = {**plan.outputs, "secretops": json.dumps(plan.outputs["secretops"])}
    assert plan_from(plan.resources, outputs, project=plan.project, stack=plan.stack) == plan
    for text in ("{", "[]", "a manifest"):
        judged_as = plan_from((), {"secretops": text}, project=plan.project, stack=plan.stack)
        assert judged_as.manifest == {}


def test_stack_without_an_environment_is_judged_as_production() -> None:
    plan = changed("", "environment", to="testing")(own("dev"))
    assert plan_of_preview("\n".join(events(plan))).environment is Environment.PRODUCTION


def test_the_pack_has_a_policy_for_each_rule_and_one_for_what_is_judged_later() -> None:
    info = pack.Pack().GetAnalyzerInfo(None, None)
    assert [one.name for one in info.policies] == [*(rule.name for rule in rules()), pack.LATER]
    levels = {one.name: one.enforcementLevel for one in info.policies}
    for rule in rules():
        assert (levels[rule.name] == analyzer_pb2.MANDATORY) == (rule.enforcement is Enforcement.MANDATORY)
    assert levels[pack.LATER] == analyzer_pb2.ADVISORY


def test_the_pack_fails_a_preview_by_name_rule_remedy_and_controls() -> None:
    (found,) = shown_to_the_pack(unprotected("secret-mqtt")(own("prod"))).diagnostics
    assert found.policyName == "stack-is-protected-in-production"
    assert found.enforcementLevel == analyzer_pb2.MANDATORY
    assert type_of(found.urn) == "aws:secretsmanager/secret:Secret"
    assert "secret-mqtt: " in found.message and "SOC 2 A1.2" in found.message


def test_pack_reports_unknown_rules_once_and_not_as_passed() -> None:
    plan = own("prod", preview=True)
    answer = shown_to_the_pack(plan)
    (later,) = answer.diagnostics
    assert (later.policyName, later.enforcementLevel) == (pack.LATER, analyzer_pb2.ADVISORY)
    names = [one.rule.name for one in judge(plan) if one.verdict is Verdict.UNKNOWN]
    assert names
    assert all(name in later.message for name in names)
    passed = {rule.name for rule in rules()} - {one.policy_name for one in answer.not_applicable}
    assert passed == {name for name, result in verdicts(plan).items() if result == "kept"}


CLOSED = Rule(
    name="stack-of-a-test",
    sentence="No bucket is open.",
    controls=(),
    limitation="",
    checks=(Expect(BUCKET, "acl[].open", not_set, "is on; turn it off"),),
)


def analyzed(properties: Any, *, project: str = "coreflux-mcp-secrets") -> Any:
    """Return the pack's diagnostics for one bucket before its creation."""
    servicer = pack.Pack()
    request = analyzer_pb2.AnalyzeRequest(urn=URN.format(project=project, types=BUCKET, name="b"), type=BUCKET)
    ParseDict(wire(properties), request.properties)
    return servicer.Analyze(request, None).diagnostics


def test_pack_judges_a_resource_before_its_creation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "rules", lambda: (CLOSED,))
    (found,) = analyzed({"acl": [{"open": False}, {"open": True}]})
    assert (found.policyName, found.enforcementLevel) == (CLOSED.name, analyzer_pb2.MANDATORY)
    assert analyzed({"acl": [{"open": UNKNOWN}]}) == []


@pytest.mark.parametrize(("environment", "count"), [("development", 0), ("staging", 0), ("production", 1)])
def test_pack_judges_rules_of_an_environment_by_the_output(environment: str, count: int) -> None:
    plan = changed("", "environment", to=environment)(unprotected("secret-mqtt")(own("prod")))
    reported = [
        one.policyName for one in shown_to_the_pack(replace(plan, environment=Environment(environment))).diagnostics
    ]
    assert reported.count("stack-is-protected-in-production") == count


def test_pack_leaves_resources_of_other_programs_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "rules", lambda: (CLOSED,))
    assert analyzed({"acl": [{"open": True}]}, project="shop") == []
