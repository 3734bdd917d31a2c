"""Review six pull requests of a stack on AWS under mocks, with a canary in every input.

`python -m tests.tools.review_cases` writes tests/tools/golden.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from policies.plan import Plan
from tests.unit.policy_plans import changed, own, planned, text_of, wire
from tools.review import stream
from tools.review.comment import comment
from tools.review.judges import judges
from tools.review.replacing import replacing
from tools.review.review import Against, Broken, Judge, Provider, StackReview, read, written

GOLDEN = Path(__file__).with_name("golden")
CANARY = "canary0f1e2d3c4b5a6978"
NEW_SECRET = "\n  secrets: {historian: {fields: [connection], readers: [rotator]}}"
_NAMES = {"name", "bucket", "role", "function", "principal", "region", "allowedAccountIds", "action", "path"}
REFUSED = f"""Pulumi.prod.yaml has 2 errors; nothing was changed:
  broker.port: a number (not shown) {CANARY}
    from 1 to 65535
  rotation.{CANARY}: unknown key
"""


def ended(*events: Mapping[str, Any], result: str = "succeeded") -> str:
    ends: Mapping[str, Any] = {"summaryEvent": {"isPreview": True, "result": result}}
    return "".join(json.dumps(one) + "\n" for one in (*events, ends))


def events(plan: Plan) -> Iterator[Mapping[str, Any]]:
    urns = {one.name: one.urn for one in plan.resources if one.type.startswith("pulumi:providers:")}
    yield {"preludeEvent": {"config": {"coreflux-mcp-secrets:broker": CANARY}}}
    yield {"diagnosticEvent": {"severity": "warning", "message": CANARY, "urn": CANARY}}
    for one in plan.resources:
        new = {"inputs": _with_canary(wire(one.properties)), "protect": one.protect}
        new["provider"] = f"{urns.get(one.provider, 'default')}::id"
        yield {"resourcePreEvent": {"metadata": {"op": "create", "urn": one.urn, "type": one.type, "new": new}}}
    outputs = {"type": "pulumi:pulumi:Stack", "new": {"outputs": _with_canary(wire(plan.outputs))}}
    yield {"resOutputsEvent": {"metadata": outputs}}


def _with_canary(entry: Any, key: str = "") -> Any:
    match entry:
        case dict():
            return {**{name: _with_canary(inner, name) for name, inner in entry.items()}, CANARY: CANARY}
        case list():
            return [_with_canary(inner, key) for inner in entry]
        case str() if '"Statement"' in entry:
            document = json.loads(entry)
            found = document["Statement"]
            each = found if isinstance(found, list) else [found]
            return json.dumps({**document, "Id": CANARY, "Statement": [{**one, "Sid": CANARY} for one in each]})
        case str() if key not in _NAMES and not entry.startswith("arn:"):
            return f"{entry} {CANARY}"
    return entry


def reviewed(before: str, after: str, **more: Any) -> StackReview:
    head = stream.preview(after)
    found = stream.compared(stream.preview(before), head, replacing)
    return StackReview(
        stack="prod", provider=Provider.STANDIN, against=Against.BASE, unchanged=found.unchanged,
        changes=found.changes, values_lost=found.values_lost, values_new=found.values_new, unread=head.unread,
        rules=40, **more,
    )  # fmt: skip


@cache
def base() -> str:
    return ended(*events(own("prod")))


def _changed(*place: Any, to: Any, **more: Any) -> StackReview:
    return reviewed(base(), ended(*events(changed(*place, to=to)(own("prod")))), **more)


def secret_added() -> StackReview:
    return reviewed(base(), ended(*events(planned(text_of("prod") + NEW_SECRET, "prod"))))


def policy_weakened() -> StackReview:
    wide = {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"}
    foreign = {"AWS": ["arn:aws:iam::999999999999:root", f"arn:aws:iam::123456789012:user/{CANARY}"]}
    opened = {**wide, "Principal": foreign, "Action": f"kms:{CANARY}"}
    plan = changed("policy-mqtt", "policy", "Statement", 0, to=opened)(own("prod"))
    plan = changed("server-secrets", "policy", "Statement", to=lambda each: [*each, wide])(plan)
    broken = Broken(rule="aws-least-privilege", name="server-secrets", judge=Judge.BOTH)
    return reviewed(base(), ended(*events(plan)), broken=(broken,))


def preview_failed() -> StackReview:
    text = ended({"diagnosticEvent": {"severity": "error", "message": REFUSED}}, result="failed")
    refused = stream.preview(text).refused
    return StackReview(stack="prod", provider=Provider.OWN, against=Against.NOTHING, failed=True, errors=refused)


DISABLED = (Broken(rule="aws-keys-rotate", name="key", judge=Judge.BASE),)
CASES: Mapping[str, Callable[[], StackReview]] = {
    "secret-added": secret_added,
    "subnet-changed": lambda: _changed("service", "networkConfiguration", "subnets", 0, to=f"subnet-{CANARY}"),
    "policy-weakened": policy_weakened,
    "region-moved": lambda: reviewed(base(), base().replace("eu-central-1", "eu-west-1")),
    "preview-failed": preview_failed,
    "rules-changed": lambda: _changed("key", "enableKeyRotation", to=False, broken=DISABLED),
}


def text_of_case(name: str) -> tuple[str, str]:
    touched = judges(["policies/aws/keys_rotate.py", ".github/workflows/ci.yml", "docs/stores.md"])
    file = written((CASES[name](),))
    return file, comment(read(file), touched=touched if name == "rules-changed" else {}, commit="c" * 40)


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        (GOLDEN / f"{case}.md").write_text(text_of_case(case)[1])
