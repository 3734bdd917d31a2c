"""What a stack of AWS may say besides the shipped one: a preview on the stand-in provider, which checks every input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.stacks.prod import new_prod

Section = dict[str, object]

pytestmark = pytest.mark.real

GROUPS = ["sg-0123456789abcdef0"]
OPTIONS: dict[str, tuple[Section, Section]] = {
    "everything of the stack's own": (
        {
            "replicas": ["eu-north-1"],
            "vpc": {
                "subnets": ["subnet-0123456789abcdef0"],
                "security_groups": GROUPS,
                "way_out": "nat-0123456789abcdef0",
            },
            "alert_emails": ["ops@example.com"],
        },
        {
            "replicas": 1,
            "allowed_hosts": ["mcp.example.com"],
            "load_balancer": {
                "vpc": "vpc-0123456789abcdef0",
                "security_groups": GROUPS,
                "certificate": "arn:aws:acm:eu-central-1:123456789012:certificate/0123",
            },
        },
    ),
    "everything of somebody else's": (
        {
            "existing_trail": {"arn": "arn:aws:cloudtrail:eu-central-1:123456789012:trail/all", "log_group": "all"},
            "alert_topic": "arn:aws:sns:eu-central-1:123456789012:alerts",
        },
        {"reference": "Fetched", "cluster": "main", "copilot": False},
    ),
}
"""Stacks beside the shipped one: what their sections store and server say besides."""


@pytest.mark.parametrize("options", OPTIONS)
def test_a_preview_of_every_option_passes_the_check_of_inputs(
    options: str, moto: Aws, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    stack = new_prod(tmp_path, mosquitto, moto)
    for section, besides in zip(("store", "server"), OPTIONS[options], strict=True):
        stack.config[section] |= besides
    stack.configure()
    preview = stack.run("preview")
    assert preview.returncode == 0, preview.stdout
    assert int(re.findall(r"\+ (\d+) to create", preview.stdout)[0]) > 50
