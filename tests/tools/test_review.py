"""A review from a preview's events to the comment: what it tells, in which order, and what can't get into it."""

import base64
import json
import secrets
from collections.abc import Mapping
from typing import Any

import pytest

from tools.review import stream
from tools.review.comment import comment
from tools.review.replacing import replacing
from tools.review.review import (
    MOST_BYTES,
    Against,
    Broken,
    Change,
    NoReviewError,
    Op,
    Provider,
    StackReview,
    read,
    written,
)
from tools.review.risk import Risk, risk

KEY, ROLE, SERVICE = "aws:kms/key:Key", "aws:iam/rolePolicy:RolePolicy", "aws:ecs/service:Service"


def event(op: str, type: str, name: str, old: Any = None, new: Any = None, **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:prod::coreflux-mcp-secrets::coreflux-mcp-secrets:aws:SecretStore${type}::{name}"
    states = {
        side: None if inputs is None else {"type": type, "urn": urn, "inputs": inputs, "protect": more.get("protect")}
        for side, inputs in (("old", old), ("new", new))
    }
    told = {key: more[key] for key in ("diffs", "keys", "detailedDiff") if key in more}
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": type, **states, **told}, "planning": True}}


def a_stream(*events: Mapping[str, Any], result: str = "succeeded") -> str:
    ends: Mapping[str, Any] = {"summaryEvent": {"isPreview": True, "result": result}}
    return "".join(json.dumps(one) + "\n" for one in (*events, ends))


def reviewed(*changes: Change, **more: Any) -> StackReview:
    given: dict[str, Any] = {"stack": "prod", "provider": Provider.OWN, "against": Against.DEPLOYED, **more}
    return StackReview(changes=changes, **given)


def of(*events: Mapping[str, Any]) -> StackReview:
    changes, unchanged = stream.changes(stream.preview(a_stream(*events)))
    return reviewed(*changes, unchanged=unchanged)


def rows(text: str) -> list[str]:
    table = text.partition("|---|---|---|---|\n")[2].partition("\n\n")[0]
    return [line for line in table.splitlines() if line.startswith("| ")]


def test_what_is_replaced_or_deleted_comes_first_and_of_that_what_holds_something() -> None:
    told = of(
        event("create", "aws:sqs/queue:Queue", "new-queue", new={}),
        event("update", SERVICE, "service", old={}, new={}, diffs=["desiredCount"]),
        event("update", ROLE, "grants", old={}, new={}, diffs=["policy"]),
        event("delete", "aws:ecs/taskDefinition:TaskDefinition", "task", old={}),
        event("delete", KEY, "key", old={}),
        event("replace", "aws:ecs/cluster:Cluster", "cluster", old={}, new={}, keys=["name"], protect=True),
    )
    names = ["cluster", "key", "task", "grants", "service", "new-queue"]
    found = rows(comment([told]))
    assert [name for row in found for name in names if f"`{name}`" in row] == names
    assert [row.startswith("| **") for row in found] == [True, True, True, False, False, False]


def test_an_update_of_a_grant_is_above_other_updates() -> None:
    def of_update(type: str, *properties: str) -> Risk:
        return risk(Change(op=Op.UPDATE, type=type, name="x", properties=properties))

    assert of_update(KEY, "policy") is Risk.GRANTS
    assert of_update(KEY, "description") is Risk.CHANGES
    assert of_update("kubernetes:rbac.authorization.k8s.io/v1:Role", "rules") is Risk.GRANTS


def test_two_previews_tell_what_a_stack_like_the_base_would_lose_gain_and_change() -> None:
    base = stream.preview(
        a_stream(
            event("create", KEY, "key", new={"multiRegion": False, "tags": {"a": 1}}),
            event("create", SERVICE, "service", new={"desiredCount": 1, "tags": {"a": 1}}),
            event("create", ROLE, "gone", new={}),
            event("create", ROLE, "same", new={"policy": "p"}),
            event("create", ROLE, "named", new={"name": "named-0a1b2c3"}),
        )
    )
    head = stream.preview(
        a_stream(
            event("create", KEY, "key", new={"multiRegion": True, "tags": {"a": 1}}),
            event("create", SERVICE, "service", new={"desiredCount": 2, "tags": {"a": 2}}),
            event("create", ROLE, "new", new={}),
            event("create", ROLE, "same", new={"policy": "p"}),
            event("create", ROLE, "named", new={"name": "named-3c2b1a0"}),
        )
    )
    changes, unchanged = stream.compared(base, head, replacing)
    assert [(one.op, one.name, one.properties) for one in changes] == [
        *((Op.REPLACE, "key", ("multiRegion",)), (Op.UPDATE, "service", ("desiredCount", "tags"))),
        *((Op.CREATE, "new", ()), (Op.DELETE, "gone", ())),
    ]
    assert unchanged == 2, "a name that the engine made up is no change"


def test_a_comment_has_at_most_sixty_lines_and_counts_what_it_leaves_out() -> None:
    changes = [Change(op=Op.UPDATE, type=KEY, name=f"key-{n}", properties=("policy",) * 30) for n in range(100)]
    broken = tuple(Broken(rule=f"rule-{n}", name="x") for n in range(100))
    text = comment([reviewed(*changes, stack=f"stack-{n}", broken=broken) for n in range(30)])
    assert len(text.splitlines()) <= 60
    assert len(text) < 60_000, "GitHub takes 65,536"
    for more in ("and 2994 more", "and 2976 more", "and 20 more"):
        assert more in text


def test_no_value_gets_from_a_preview_into_a_review_wherever_it_is() -> None:
    canaries = a, b, c, d, e, f, g, h, i, j, k, m = [f"canary{secrets.token_hex(8)}" for _ in range(12)]
    deep = {"policy": json.dumps({"Statement": [{"Sid": a}]}), "tags": {b: c}, "list": [{"x": [d]}], "data": e}
    events = (
        {"preludeEvent": {"config": {"coreflux-mcp-secrets:store": f}}},
        {"diagnosticEvent": {"severity": "error", "message": g, "prefix": h, "urn": i}},
        {"stdoutEvent": {"message": j}},
        event(
            "update",
            SERVICE,
            "service",
            old=deep,
            new={"data": k, "tags": {m: 1}},
            diffs=[f'tags["{b}"]', f"list[0].{d}"],
            detailedDiff={f"data.{e}": {"kind": "update"}, f'tags["{m}"].x': {"kind": "add"}},
        ),
        event("create", ROLE, "new", new=deep),
        event("delete", KEY, "old", old=deep),
    )
    found = stream.preview(a_stream(*events, result="failed"))
    before = stream.preview(a_stream(event("create", SERVICE, "service", new={"data": a, "tags": {c: c}})))
    for changes, unchanged in (stream.changes(found), stream.compared(before, found, replacing)):
        told = (reviewed(*changes, unchanged=unchanged, failed=found.failed),)
        text = written(told) + comment(told)
        assert '"data"' in text and '"tags"' in text
        forms = [
            form for one in canaries for form in (one, one.encode().hex(), base64.b64encode(one.encode()).decode())
        ]
        assert not [form for form in forms if form in text]
    assert not [one for one in canaries if one in repr(list(found.resources.values()))], "nor a traceback's words"


@pytest.mark.parametrize(
    "hostile", ["@everyone", "<img src=x onerror=alert(1)>", "a`b|c\n# d", "!\u202egnp.x", "x" * 5000]
)
def test_a_hostile_name_is_no_markdown_html_or_mention(hostile: str) -> None:
    told = of(
        event("create", KEY, hostile, new={}), event("update", f"aws:{hostile}", "x", old={}, new={}, diffs=[hostile])
    )
    text = comment(read(written((told,))))
    assert not set("@<>[]&\u202e") & set("".join(rows(text)))
    assert "".join(rows(text)).count("|") == 2 * 5
    assert max(map(len, rows(text))) < 400


def broken_files() -> list[tuple[str, str]]:
    good = json.loads(written((reviewed(Change(op=Op.UPDATE, type=KEY, name="key", properties=("policy",))),)))

    def but(*path: Any, to: Any) -> str:
        copy = json.loads(json.dumps(good))
        at = copy
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to
        return json.dumps(copy)

    change = ("stacks", 0, "changes", 0)
    return [
        *(("no JSON", "{"), ("a key more", but("more", to=1)), ("a mention", but(*change, "name", to="@everyone"))),
        ("a mention after a name", but(*change, "name", to="key @everyone")),
        ("an unknown op", but(*change, "op", to="explode")),
        ("too many", but(*change, "properties", to=["a"] * 5001)),
        ("too large", json.dumps(good) + " " * MOST_BYTES),
    ]


@pytest.mark.parametrize("text", [text for _, text in broken_files()], ids=[what for what, _ in broken_files()])
def test_what_is_not_of_the_form_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(NoReviewError) as refused:
        read(text)
    assert "everyone" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_stream_that_breaks_off_is_a_failed_preview() -> None:
    assert stream.preview(json.dumps(event("create", KEY, "key", new={})) + "\n").failed
    with pytest.raises(stream.NoStreamError):
        stream.preview("not json\n")
