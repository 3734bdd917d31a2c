"""docs/operations/aws.md against the program: its keys, its alarms, its first steps, and the rights that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.aws.policies import READ, WRITE
from tests.unit.aws_stack import OPERATOR, on_aws
from tests.unit.harness import Deployed
from tests.unit.iam import Request, is_allowed, statements

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
"""The SDK warns of what nobody here uses."""

PAGE = (Path(__file__).resolve().parents[2] / "docs/operations/aws.md").read_text()
KEY = "arn:aws:kms:eu-central-1:123456789012:key/key"


@pytest.fixture
def prod() -> Deployed:
    return on_aws()


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
