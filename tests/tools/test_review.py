"""A review, from a preview's events to the comment: content, order, and what it must not contain."""

import json
import secrets
from collections.abc import Mapping
from typing import Any

import pytest

from tests.tools import review_cases
from tests.tools.review_cases import ended as a_stream
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

FOLDER, CONFIG_MAP = "pulumi-python:dynamic/coreflux-mcp-secrets:Folder", "kubernetes:core/v1:ConfigMap"
KEY, ROLE, SERVICE = "aws:kms/key:Key", "aws:iam/rolePolicy:RolePolicy", "aws:ecs/service:Service"


def event(op: str, type: str, name: str, old: Any = None, new: Any = None, **more: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:prod::coreflux-mcp-secrets::coreflux-mcp-secrets:aws:SecretStore${type}::{name}"
    states = {
        side: None if inputs is None else {"type": type, "urn": urn, "inputs": inputs, "protect": more.get("protect")}
        for side, inputs in (("old", old), ("new", new))
    }
    named = {key: more[key] for key in ("diffs", "keys", "detailedDiff") if key in more}
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": type, **states, **named}}}


def reviewed(*changes: Change, **more: Any) -> StackReview:
    fields: dict[str, Any] = {"stack": "prod", "provider": Provider.OWN, "against": Against.DEPLOYED, **more}
    return StackReview(changes=changes, **fields)


def of(*events: Mapping[str, Any]) -> StackReview:
    found = stream.changes(stream.preview(a_stream(*events)))
    return reviewed(*found.changes, unchanged=found.unchanged, values_lost=found.values_lost)


def compared(base: str, head: str) -> StackReview:
    found = stream.compared(stream.preview(base), stream.preview(head), replacing)
    return reviewed(*found.changes, unchanged=found.unchanged, values_lost=found.values_lost)


def rows(text: str) -> list[str]:
    table = text.partition("| what | stack | resource | changed |\n|---|---|---|---|\n")[2].partition("\n\n")[0]
    return [line for line in table.splitlines() if line.startswith("| ")]


def test_replaced_and_deleted_resources_come_first_those_with_data_before_others() -> None:
    review = of(
        event("create", "aws:sqs/queue:Queue", "new-queue", new={}),
        event("update", SERVICE, "service", old={}, new={}, diffs=["desiredCount"]),
        event("update", ROLE, "grants", old={}, new={}, diffs=["policy"]),
        event("delete", "aws:ecs/taskDefinition:TaskDefinition", "task", old={}),
        event("delete", KEY, "key", old={}),
        event("replace", "aws:ecs/cluster:Cluster", "cluster", old={}, new={}, keys=["name"], protect=True),
    )
    names = ["cluster", "key", "task", "grants", "service", "new-queue"]
    found = rows(comment([review]))
    assert [name for row in found for name in names if f"`{name}`" in row] == names
    assert [row.startswith("| **") for row in found] == [True, True, True, False, False, False]


def test_an_update_of_a_grant_is_above_other_updates() -> None:
    def of_update(type: str, *properties: str) -> Risk:
        return risk(Change(op=Op.UPDATE, type=type, name="x", properties=properties))

    assert of_update(KEY, "policy") is Risk.GRANTS
    assert of_update(KEY, "description") is Risk.CHANGES
    assert of_update("kubernetes:rbac.authorization.k8s.io/v1:Role", "rules") is Risk.GRANTS


def test_comparison_of_previews_has_gains_losses_and_changes() -> None:
    found = compared(
        a_stream(
            event("create", KEY, "key", new={"multiRegion": False, "tags": {"a": 1}}),
            event("create", SERVICE, "service", new={"desiredCount": 1, "tags": {"a": 1}}),
            event("create", ROLE, "gone", new={}),
            event("create", ROLE, "same", new={"policy": "p"}),
            event("create", ROLE, "named", new={"name": "named-0a1b2c3"}),
            event("create", CONFIG_MAP, "map", new={"data": 1}),
        ),
        a_stream(
            event("create", KEY, "key", new={"multiRegion": True, "tags": {"a": 1}}),
            event("create", SERVICE, "service", new={"desiredCount": 2, "tags": {"a": 2}}),
            event("create", ROLE, "new", new={}),
            event("create", ROLE, "same", new={"policy": "p"}),
            event("create", ROLE, "named", new={"name": "named-3c2b1a0"}),
            event("create", CONFIG_MAP, "map", new={"data": 2}),
        ),
    )
    assert [(one.op, one.name, one.properties) for one in found.changes] == [
        *((Op.REPLACE, "key", ("multiRegion",)), (Op.UPDATE, "service", ("desiredCount", "tags"))),
        *((Op.CREATE, "new", ()), (Op.UPDATE, "map", ("data",)), (Op.DELETE, "gone", ())),
    ]
    assert found.unchanged == 2, "a name that the engine made up is no change"
    assert [one.name for one in found.changes if one.may_replace] == ["map"], "there is no table of Kubernetes"


def provider(region: str, name: str = "aws", **more: Any) -> dict[str, Any]:
    return event("create", "pulumi:providers:aws", name, new={"region": region, "allowedAccountIds": '["1"]', **more})


def manifest(*secrets: str) -> dict[str, Any]:
    state = {"outputs": {"secretops": {"secrets": [{"name": one} for one in secrets]}}}
    return {"resOutputsEvent": {"metadata": {"type": "pulumi:pulumi:Stack", "new": state}}}


@pytest.mark.parametrize(
    ("base", "head", "first"),
    [
        ([provider("eu-west-1")], [provider("eu-west-2", "renamed")], "**move**"),
        ([provider("eu-west-1")], [provider("eu-west-1", allowedAccountIds='["2"]')], "**move**"),
        ([event("create", FOLDER, "x", new={"root": "a"})], [event("create", FOLDER, "x", new={"root": "b"})], "holds"),
        ([manifest("mqtt", "key")], [manifest("broker", "key")], "values of `mqtt` are lost"),
        ([manifest("mqtt")], [], "values of `mqtt` are lost"),
    ],
    ids=["another region behind a new name", "another account", "a moved root", "a renamed secret", "no manifest"],
)
def test_loss_of_values_is_the_first_row(base: list[Any], head: list[Any], first: str) -> None:
    update = [event("create", ROLE, "policy", new={"policy": text}) for text in "ab"]
    delete = event("create", "aws:ecs/cluster:Cluster", "cluster", new={})
    found = rows(comment([compared(a_stream(delete, update[0], *base), a_stream(update[1], *head))]))
    assert first in found[0]
    assert "**delete**" in found[1]


def test_a_renamed_provider_of_a_deployed_stack_that_moves_is_a_move() -> None:
    region = "pulumi:providers:aws", "aws", {"region": "eu-west-1"}
    review = of(event("delete", *region), event("create", region[0], "new", new={"region": "eu-west-2"}))
    assert [(one.op, one.name) for one in review.changes] == [(Op.MOVE, "new")]


def test_a_move_hides_no_change_that_does_not_follow_from_it() -> None:
    def streamed(region: str, days: int) -> str:
        of_logs = event("create", "aws:cloudwatch/logGroup:LogGroup", "logs", new={"retentionInDays": days})
        return a_stream(provider(region), event("create", KEY, "key", new={"description": f"of {region}"}), of_logs)

    text = comment([compared(streamed("eu-west-1", 365), streamed("eu-west-2", 1))])
    assert "1 change that only follows" in text
    assert [one for one in rows(text) if "`retentionInDays`" in one]


def grants(kind: str, before: Any, after: Any) -> set[str]:
    """Return the permissions gained (+) and lost (-): action, principal and resource."""
    names = [
        event("create", "aws:secretsmanager/secret:Secret", "secret-mqtt", new={"name": "mcp/mqtt"}),
        event("create", "aws:iam/role:Role", "task-role", new={"name": "mcp@task"}),
        event("create", "kubernetes:core/v1:Secret", "copy", new={"metadata": {"name": "the-copy"}}),
        event("create", "aws:s3/bucket:Bucket", "trail", new={"bucket": "trail"}),
        event("create", "vault:index/mount:Mount", "mount", new={"path": "kv"}),
        event("create", "pulumi:providers:aws", "aws", new={"allowedAccountIds": '["123456789012"]'}),
    ]
    both = [a_stream(*names, event("create", kind, "it", new=inputs)) for inputs in (before, after)]
    return {
        f"{sign} {one.effect}{' but' if one.exempt else ''} {action} {principal} {resource} {one.conditions}".rstrip()
        for change in compared(*both).changes
        for sign, statements in (("+", change.gained), ("-", change.lost))
        for one in statements
        for action in one.actions
        for principal in one.principals
        for resource in one.resources
    }


def document(**statement: Any) -> dict[str, Any]:
    each = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **statement}
    return {"policy": json.dumps({"Statement": [each]}), "role": "mcp@task"}


ARN = "arn:aws:{}:eu-west-1:{}:{}".format
READ = {"Action": "secretsmanager:GetSecretValue"}
MQTT = ARN("secretsmanager", "123456789012", "secret:mcp/mqtt-??????")
TASK = "arn:aws:iam::123456789012:role/mcp@task"
OF_SECRET, K8S_ROLE = "aws:secretsmanager/secretPolicy:SecretPolicy", "kubernetes:rbac.authorization.k8s.io/v1:Role"
ASSIGNED, VAULT = "azure-native:authorization:RoleAssignment", "vault:index/policy:Policy"


def others_denied(*principals: str) -> dict[str, Any]:
    return document(
        **READ, Effect="Deny", Principal="*", Condition={"ArnNotEquals": {"aws:PrincipalArn": [*principals]}}
    )


def only_by_tls(word: str) -> dict[str, Any]:
    return document(Condition={"Bool": {"aws:SecureTransport": word}})


def of_secrets(*verbs: str, **names: Any) -> dict[str, Any]:
    return {"rules": [{"resources": ["secrets"], "verbs": [*verbs], **names}]}


def assigned(guid: str) -> dict[str, Any]:
    return {"roleDefinitionId": f"/x/{guid}", "scope": "/subscriptions/a"}


SECRETS_USER, OWNER = map(assigned, ["4633458b-17de-408a-b874-0445c86b69e6", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"])
HCL = {"policy": 'path "kv/data/canary" { capabilities = ["read"] }\npath "kv/x" { capabilities = ["read"] }'}
JSON = {"policy": json.dumps({"path": {"*": {"capabilities": ["read"]}}})}
NARROW, WIDE = document(**READ, Resource=MQTT), document(Action="secretsmanager:*")
BY_TASK = document(**READ, Principal={"AWS": TASK})
BY_STRANGERS = document(**READ, Principal={"AWS": [TASK, "999999999999"], "Service": "lambda.amazonaws.com"})
ODD = document(Action="s3:canary0f1e", Resource=ARN("s3", "", "canary*"))
GAINS = [
    (ROLE, NARROW, WIDE, "- Allow {} task-role secret-mqtt; + Allow secretsmanager:* task-role *"),
    (OF_SECRET, BY_TASK, BY_STRANGERS, "+ Allow {} another account it; + Allow {} lambda.amazonaws.com it"),
    (OF_SECRET, others_denied(), others_denied(TASK), "+ Deny but {} task-role it"),
    (ROLE, only_by_tls("true"), only_by_tls("false"), "+ Allow s3:GetObject task-role * changed"),
    (ROLE, document(), ODD, "- Allow s3:GetObject task-role *; + Allow something else task-role names by a pattern"),
    (
        K8S_ROLE,
        of_secrets("get", resourceNames=["the-copy"]),
        of_secrets("get"),
        "- Allow secrets:get it copy; + Allow secrets:get it *",
    ),
    (
        ASSIGNED,
        SECRETS_USER,
        OWNER,
        "- Allow Key Vault Secrets User something else this account; + Allow Owner something else this account",
    ),
    (
        ROLE,
        NARROW,
        document(**READ, Resource=MQTT.replace("??????", "*")),
        "- Allow {} task-role secret-mqtt; + Allow {} task-role names by a pattern",
    ),
    (
        ROLE,
        NARROW,
        document(**READ, Resource=ARN("s3", "", "foreign/trail")),
        "- Allow {} task-role secret-mqtt; + Allow {} task-role something else",
    ),
    (
        OF_SECRET,
        BY_TASK,
        document(**READ, Principal={"AWS": "=canary"}),
        "- Allow {} task-role it; + Allow {} something else it",
    ),
    (VAULT, HCL, JSON, "- Allow vault:read it mount; + Allow vault:read it *"),
]


@pytest.mark.parametrize(("kind", "before", "after", "expected"), GAINS)
def test_statements_name_who_gains_what_in_closed_terms(kind: str, before: Any, after: Any, expected: str) -> None:
    assert grants(kind, before, after) == set(expected.replace("{}", READ["Action"]).split("; "))


def test_statement_of_a_deployed_resource_names_it_by_its_arn() -> None:
    arn = ARN("kms", "123456789012", "key/0a1b")
    made = event("same", KEY, "key", old={}, new={})
    made["resourcePreEvent"]["metadata"]["new"]["outputs"] = {"arn": arn}
    (change,) = of(made, event("update", ROLE, "it", old=document(), new=document(Resource=arn))).changes
    assert [one.resources for one in change.gained] == [("key",)]


@pytest.mark.parametrize("case", review_cases.CASES)
def test_comment_is_the_golden_one_and_has_no_value(case: str) -> None:
    file, text = review_cases.text_of_case(case)
    assert review_cases.CANARY not in file + text
    assert len(text.splitlines()) <= 25
    assert text == (review_cases.GOLDEN / f"{case}.md").read_text(), "python -m tests.tools.review_cases"
    if case == "secret-added":
        assert len(rows(text)) <= 4


def test_comment_of_any_size_is_short_and_counts_what_it_leaves_out() -> None:
    changes = [Change(op=Op.UPDATE, type=KEY, name=f"key-{n}", properties=("policy",) * 30) for n in range(100)]
    broken = tuple(Broken(rule=f"rule-{n}", name="x") for n in range(100))
    text = comment([reviewed(*changes, stack=f"stack-{n}", broken=broken) for n in range(30)])
    assert len(text.splitlines()) <= 40
    assert len(text) < 60_000, "GitHub takes 65,536"
    for more in ("and 2996 more", "and 2000 more", "and 24 more"):
        assert more in text


def test_no_value_gets_from_a_preview_into_a_review_wherever_it_is() -> None:
    a, b, c, d = canaries = [f"canary{secrets.token_hex(8)}" for _ in range(4)]
    state = {"policy": json.dumps({"Statement": [{"Sid": a}]}), "tags": {b: c}, "list": [{"x": [d]}], "data": a}
    paths = [f'tags["{b}"]', f"list[0].{d}", f"data.{c}"]
    found = stream.preview(
        a_stream(
            {"diagnosticEvent": {"severity": "error", "message": f"broker.{a}: x\n  {b}: x", "urn": c}},
            event("update", SERVICE, "service", old=state, new={}, diffs=paths, detailedDiff={paths[0]: {"kind": d}}),
            event("create", ROLE, "new", new=state),
            event("delete", KEY, "old", old=state),
            result="failed",
        )
    )
    each = stream.changes(found)
    text = written((reviewed(*each.changes, failed=found.failed, errors=found.refused),))
    assert '"data"' in text and '"tags"' in text
    everything = text + repr(list(found.resources.values())) + comment(read(text))
    assert not [one for one in canaries if one in everything], "nor in a traceback"


@pytest.mark.parametrize(
    "hostile", ["@everyone", "<img src=x onerror=alert(1)>", "a`b|c\n# d", "!\u202egnp.x", "x" * 5000]
)
def test_a_hostile_name_is_no_markdown_html_or_mention(hostile: str) -> None:
    review = of(
        event("create", KEY, hostile, new={}), event("update", f"aws:{hostile}", "x", old={}, new={}, diffs=[hostile])
    )
    text = comment(read(written((review,))))
    assert not set("@<>[]&\u202e") & set("".join(rows(text)))
    assert "".join(rows(text)).count("|") == 2 * 5
    assert max(map(len, rows(text))) < 400


def broken_files() -> list[tuple[str, str]]:
    """Return review files that are valid except for one place each."""
    good = json.loads(written((reviewed(Change(op=Op.UPDATE, type=KEY, name="key", properties=("policy",))),)))

    def but(*path: Any, to: Any) -> str:
        copy = json.loads(json.dumps(good))
        at = copy
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = to
        return json.dumps(copy)

    change = ("stacks", 0, "changes", 0)
    statement: dict[str, Any] = {"effect": "Allow", "actions": [], "principals": [], "resources": []}
    statement |= {"exempt": False, "conditions": ""}
    return [
        ("a mention in a statement", but(*change, "gained", to=[{**statement, "actions": ["@everyone"]}])),
        ("a value as an action", but(*change, "gained", to=[{**statement, "actions": ["s3:everyone0f1e"]}])),
        ("a value as a setting", but("stacks", 0, "errors", to=["broker.everyone0f1e"])),
        *(("no JSON", "{"), ("a key more", but("more", to=1)), ("a mention", but(*change, "name", to="@everyone"))),
        ("a mention after a name", but(*change, "name", to="key @everyone")),
        ("an unknown op", but(*change, "op", to="explode")),
        ("too many", but(*change, "properties", to=["a"] * 5001)),
        ("too large", json.dumps(good) + " " * MOST_BYTES),
    ]


@pytest.mark.parametrize("text", [text for _, text in broken_files()], ids=[what for what, _ in broken_files()])
def test_invalid_review_is_rejected_and_not_repeated(text: str) -> None:
    with pytest.raises(NoReviewError) as refused:
        read(text)
    assert "everyone" not in str(refused.value)
    assert len(str(refused.value)) < 200


def test_a_stream_that_breaks_off_is_a_failed_preview() -> None:
    assert stream.preview(json.dumps(event("create", KEY, "key", new={})) + "\n").failed
    with pytest.raises(stream.NoStreamError):
        stream.preview("not json\n")
