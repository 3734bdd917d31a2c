"""docs/operations/aws.md against the program: its keys, its alarms, its first steps, and the rights that it names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cfnlint  # type: ignore[import-untyped]  # comes with moto[server]
import pytest

from components.aws.policies import READ, WRITE
from components.aws.sections import AwsStore, EcsServer, ExistingTrail, LoadBalancer, Vpc
from components.section import Section
from tests.unit.aws_stack import OPERATOR, on_aws, with_every_option
from tests.unit.harness import Deployed
from tests.unit.iam import Request, is_allowed, statements
from tests.unit.page import rows

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
"""The SDK warns of what nobody here uses."""

PAGE = (Path(__file__).resolve().parents[2] / "docs/operations/aws.md").read_text()
NO_ACTION = {"kms:ViaService", "kms:EncryptionContext"}
"""Condition keys, which look like actions."""
KEY = "arn:aws:kms:eu-central-1:123456789012:key/key"


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return on_aws()


@pytest.mark.parametrize(("section", "model"), [("`store`", AwsStore), ("`server`", EcsServer)])
def test_the_page_has_every_key_of_a_section_with_its_default(section: str, model: type[Section]) -> None:
    told = rows(PAGE, section)
    assert told.keys() == model.model_fields.keys()
    for name, field in model.model_fields.items():
        default = told[name].partition("|")[0].strip()
        if field.is_required():
            assert default == "", name
        elif field.default in (None, ()):
            assert re.match(r"none|one is made", default), name
        else:
            assert default == str(field.default).lower().replace("nativeref", "NativeRef"), name


@pytest.mark.parametrize(
    ("row", "model"),
    [("vpc", Vpc), ("existing_trail", ExistingTrail), ("load_balancer", LoadBalancer)],
)
def test_the_page_has_every_key_of_a_section_within_a_section(row: str, model: type[Section]) -> None:
    told = (rows(PAGE, "`store`") | rows(PAGE, "`server`"))[row]
    assert model.model_fields.keys() <= set(re.findall(r"`(\w+)`", told))


def test_the_page_has_every_alarm_and_no_other(prod: Deployed) -> None:
    made = {alarm.inputs["name"] for alarm in prod.of_type("aws:cloudwatch/metricAlarm:MetricAlarm")}
    assert {f"coreflux-mcp-prod-{name}" for name in rows(PAGE, "alarm")} == made


def test_the_pages_numbers_of_resources_are_the_programs(prod: Deployed) -> None:
    fetched = with_every_option()
    of = "aws:cloudwatch/metricAlarm:MetricAlarm"
    filters = prod.of_type("aws:cloudwatch/logMetricFilter:LogMetricFilter")
    metrics = {one.inputs["metricTransformation"]["name"] for one in filters}
    assert f"| {len(fetched.of_type(of))} to {len(prod.of_type(of))} alarms; {len(metrics)} metrics of the log" in PAGE
    assert [len(each.of_type("aws:lambda/function:Function")) for each in (prod, fetched)] == [4, 3]
    assert 100 <= sum(resource.type.startswith("aws:") for resource in prod.resources.values()) <= 110


def test_the_pages_first_steps_are_those_that_the_stack_tells(prod: Deployed) -> None:
    block = PAGE.partition("## From nothing to ready\n")[2].partition("```sh\n")[2].partition("```")[0]
    steps = [re.sub(r" \(.*?\)", "", step) for step in prod.exports["next"].split(", then ")]
    assert len(steps) == 5
    places = [block.index(step) for step in steps]
    assert places == sorted(places)


def test_the_pages_policy_lets_an_operator_do_what_secretops_does_and_nothing_else(prod: Deployed) -> None:
    own = statements(PAGE.partition("```json\n")[2].partition("```")[0])
    secrets = {name.removeprefix("policy-"): one for name, one in prod.resources.items() if name.startswith("policy-")}
    assert len(secrets) == 5
    key = statements(prod.resources["key"].inputs["policy"])
    for secret, policy in secrets.items():
        arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/{secret}-AbCdEf"

        def may(action: str, arn: str = arn, policy: Any = policy) -> bool:
            request = Request(OPERATOR, action, arn)
            return is_allowed(request, identity=own, resource=statements(policy.inputs["policy"]))

        assert all(map(may, (*READ, *WRITE)))
        others = ("DeleteSecret", "PutResourcePolicy", "UpdateSecret")
        assert not any(may(f"secretsmanager:{one}") for one in others)
        for action in ("kms:Decrypt", "kms:GenerateDataKey"):
            via = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"}
            of = {"kms:EncryptionContext:SecretARN": arn}
            assert is_allowed(Request(OPERATOR, action, KEY, via | of), identity=own, resource=key)
            assert not is_allowed(Request(OPERATOR, action, KEY, of), identity=own, resource=key)


def test_the_pages_policy_fits_a_stack_made_anew_and_no_other_stack() -> None:
    own = statements(PAGE.partition("```json\n")[2].partition("```")[0])
    anew = on_aws(", generation: 2")
    policy, key = (statements(anew.resources[name].inputs["policy"]) for name in ("policy-mqtt", "key"))
    secret = anew.exports["secretops"]["store"]["secrets"]["mqtt"]

    def may(name: str) -> bool:
        arn = f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}-AbCdEf"
        via = {"kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com", "kms:EncryptionContext:SecretARN": arn}
        asked = [Request(OPERATOR, action, arn) for action in (*READ, *WRITE)]
        opened = is_allowed(Request(OPERATOR, "kms:Decrypt", KEY, via), identity=own, resource=key)
        return opened and all(is_allowed(one, identity=own, resource=policy) for one in asked)

    assert secret.startswith("coreflux-mcp/prod+2/")
    assert may(secret)
    assert not may(secret.replace("prod+2", "prod-eu"))
    assert not may(secret.replace("prod+2", "production"))


def test_the_page_names_every_right_that_doctor_uses() -> None:
    folder = Path(__file__).resolve().parents[2] / "secretops/src/secretops/operations/doctor"
    used = {right for file in folder.glob("*.py") for right in re.findall(r'told\("(\w+:[A-Z]\w+)"', file.read_text())}
    assert len(used) > 5
    assert used - {"sts:GetCallerIdentity"} <= set(re.findall(r"`([a-z]+:[A-Z]\w+)`", PAGE)), "the first needs no right"


def test_the_pages_actions_are_those_that_aws_knows() -> None:
    """By cfn-lint's copy of AWS' own list."""
    listed_by_aws = Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json"
    known = {
        f"{service}:{action}"
        for service, one in json.loads(listed_by_aws.read_text()).items()
        for action in one["Actions"]
    }
    named = set(re.findall(r"\b[a-z0-9]+:[A-Z]\w+", PAGE)) - NO_ACTION
    assert len(named) > 15
    assert {action for action in named if action.lower() not in known} == set()
