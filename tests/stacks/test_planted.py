"""Insecure changes planted in a first deployment, by the real CLI: each is refused by its rule, on its resource.

The rows are those of tests/unit/policy_breaks.py. One preview has as many as do not hide each other. A row is omitted
where its property, or what its rule needs, is known only after `pulumi up`.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]

from components.aws import lambda_package
from policies.plan import Finding, Plan
from policies.rule import Enforcement
from tests.stacks import planting
from tests.stacks.prod import ProdStack
from tests.stacks.project import BIN, ROOT, lay_plugin
from tests.stacks.staging import lay_provider
from tests.unit.harness import ca_file
from tests.unit.policy_breaks import BREAKS
from tests.unit.policy_plans import Break, added, changed, named, own, text_of, unprotected, wire
from tools import docker_provider
from tools.clone import CLOUDS
from tools.standin import choice, sdk_types
from tools.standin.__main__ import CLOUDS as STANDINS
from tools.standin.wire import inputs

pytestmark = [pytest.mark.real, pytest.mark.slow]


def differences(old: Any, new: Any, *path: str | int) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield path and new entry of what differs, as deep as both have the same form."""
    match old, new:
        case dict(), dict():
            for key in sorted(old.keys() | new.keys()):
                yield from differences(old.get(key), new.get(key), *path, key)
        case list(), list() if len(old) == len(new):
            for at, (one, other) in enumerate(zip(old, new, strict=True)):
                yield from differences(one, other, *path, at)
        case str(), str() if old[:2] == new[:2] == '{"':
            yield from differences(json.loads(old), json.loads(new), *path)
        case _ if old != new:
            yield path, new


def edits(before: Plan, after: Plan) -> Iterator[dict[str, Any]]:
    """Yield the edits that turn one plan into the other, as planting.py reads them."""
    there = {one.urn: one for one in before.resources}
    for path, to in differences(before.outputs, after.outputs):
        yield {"at": "", "path": path, "to": to}
    for one in after.resources:
        if one.urn not in there:
            yield {"type": one.type, "name": one.name, "inputs": one.properties}
            continue
        for path, to in differences(there[one.urn].properties, one.properties):
            yield {"at": one.name, "path": path, "to": to}
        if one.protect != there[one.urn].protect:
            yield {"at": one.name, "protect": one.protect}


@dataclass(frozen=True)
class Planted:
    """A row of policy_breaks.py, as edits of one stack, and what its rule then finds."""

    rule: str
    edits: tuple[dict[str, Any], ...]
    findings: frozenset[Finding]

    def clashes(self, other: Planted) -> bool:
        """Return whether both edit the same place, or find the same."""
        return bool(self.rule == other.rule and self.findings & other.findings) or any(
            one.get("at") == two.get("at") and ("path" not in one or "path" not in two or _within(one, two))
            for one in self.edits
            for two in other.edits
        )


def _within(one: dict[str, Any], other: dict[str, Any]) -> bool:
    shared = min(len(one["path"]), len(other["path"]))
    return bool(one["path"][:shared] == other["path"][:shared])


# Places that a provider itself refuses or requires. Rows that change one are omitted.
REFUSED = {
    ("secrets-folder", "root"),
    ("azure", "subscriptionId"),
    ("swarm", "registryAuth"),
    ("alarm-tick-failed", "evaluationPeriods"),
}


def broken(rule: str, plan: Plan) -> frozenset[Finding]:
    return frozenset(finding for finding in named(rule).findings(plan) if not finding.unknown)


def refused(before: Plan, after: Plan) -> bool:
    """Return whether the stand-in's check of inputs refuses a change, which happens before a rule judges it."""
    for one in after.resources:
        package = one.type.partition(":")[0]
        if one in before.resources or package not in STANDINS:
            continue
        given = inputs(ParseDict(wire(one.properties), Struct()))
        if [*sdk_types.problems(one.type, given), *STANDINS[package]("").problems(one.type, given)]:
            return True
    return False


def planted(row: Break, before: Plan) -> Planted | None:
    """Return the row as edits; None if a first preview does not know what it changes, or a provider refuses it."""
    try:
        after = row.change(before)
    except (AssertionError, AttributeError, TypeError):  # no such resource, or it is below an unknown
        return None
    findings = broken(row.rule, after) - broken(row.rule, before)
    made = tuple(edits(before, after))
    here = {one.type.partition(":")[0] for one in before.resources}
    if not findings or not made or named(row.rule).enforcement is Enforcement.ADVISORY or refused(before, after):
        return None
    if any((edit["at"], edit["path"][0]) in REFUSED for edit in made if "path" in edit):
        return None
    if any(edit["type"].partition(":")[0] not in here for edit in made if "type" in edit):
        return None  # of a provider that is not there
    return Planted(row.rule, made, findings)


def applied(before: Plan, rows: list[Planted]) -> Plan:
    for edit in (edit for row in rows for edit in row.edits):
        if "inputs" in edit:
            before = added(edit["type"], edit["inputs"])(before)
        elif "protect" in edit:
            before = unprotected(edit["at"])(before)
        else:
            before = changed(edit["at"], *edit["path"], to=edit["to"])(before)
    return before


def runs(before: Plan, rows: list[Planted]) -> Iterator[list[Planted]]:
    """Yield rows that do not hide each other, as many as possible in the first run."""
    while rows:
        run, seen = list[Planted](), list[Planted]()
        for row in rows:
            if not any(row.clashes(other) for other in run):
                run.append(row)
        while run != seen:
            seen, plan = run, applied(before, run)
            run = [row for row in run if row.findings <= broken(row.rule, plan)] or rows[:1]
        yield run
        rows = [row for row in rows if row not in run]


# Stack -> the plans of policy_breaks.py whose rows are planted in it, and their minimum number: 138 in all.
STACKS = {
    "dev": (("dev",), 13),
    "prod": (("prod", "aws+"), 38),
    "prod-azure": (("prod-azure", "azure+", "azure-closed"), 28),
    "staging": (("staging",), 29),
    "prod-vault-kubernetes": (("prod-vault-kubernetes", "vault+"), 18),
    "prod-swarm-published": (("prod-swarm", "prod-swarm-published", "swarm+"), 12),
}
# Runs of a stack; each further one would show one or two rows more.
MOST_RUNS = 2


# Of a cluster that does not answer. The program reads it; the provider gets NO_CLUSTER and does not wait.
KUBECONFIG = {
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:9"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "current-context": "none",
    "users": [{"name": "none", "user": {}}],
}


NO_CLUSTER = {"at": "cluster", "path": ["kubeconfig"], "to": "apiVersion: v1"}


@dataclass
class PlantedStack(ProdStack):
    """A stack of the test's own, whose program is planting.py."""

    def preview(self, rows: list[Planted]) -> tuple[int, list[dict[str, Any]], str]:
        """Preview these rows. Return the exit code, the policies' findings, and all output."""
        done = self.planted("preview", rows, "--json")
        events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        return done.returncode, [event["policyEvent"] for event in events if "policyEvent" in event], done.stdout

    def planted(self, command: str, rows: list[Planted], *options: str) -> subprocess.CompletedProcess[str]:
        none = [NO_CLUSTER] if self.config["server"]["kind"] == "kubernetes" else []
        (self.home / "planted.json").write_text(
            json.dumps([*none, *(wire(edit) for row in rows for edit in row.edits)])
        )
        where = ("--cwd", str(self.home / "project"), "--policy-pack", str(ROOT / "policies"))
        return self.run(command, *where, *options)


def new_planted(name: str, home: Path) -> PlantedStack:
    """Return the stack, not deployed. Its cloud is the stand-in, and no cluster, manager or Vault answers."""
    assert lambda_package.main() == 0, "make lambda says why"
    text = re.sub(r"/etc/ssl/certs/[a-z-]+\.crt", str(ca_file(home)), text_of(name))
    leads = {
        "PLANTED": str(home / "planted.json"),
        "PYTHONPATH": str(ROOT),
        "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true",
        "KUBECONFIG": str(home / "kubeconfig"),
        "DOCKER_HOST": f"unix://{home}/nobody.sock",
    }
    (home / "kubeconfig").write_text(json.dumps(KUBECONFIG))
    stack = PlantedStack(name, home, yaml.safe_load(text)["config"], leads)
    stack.create()
    if cloud := CLOUDS.get(str(stack.config["store"]["kind"])):
        choice.lay(home / "bin", cloud.package, cloud.version, clone=ROOT, python=BIN / "python")
    (home / "home/plugins").mkdir(parents=True, exist_ok=True)
    if stack.config["server"]["kind"] == "kubernetes":
        lay_provider(home)
    if stack.config["server"]["kind"] == "swarm":
        lay_plugin(home, docker_provider.built(), f"docker-v{docker_provider.PROVIDER}")
    stack.use(Path(planting.__file__).read_text())
    return stack


def is_of(planned: str, urn: str) -> bool:
    """Return whether a resource of a plan is the one that `urn` names, with its component's name before its own."""
    kind, _, name = planned.rpartition("::")
    real_kind, _, real = urn.rpartition("::")
    return kind == real_kind and (real == name or real.endswith(f"-{name}"))


@pytest.mark.parametrize(("name", "plans", "least"), [(name, *row) for name, row in STACKS.items()])
def test_planted_rows_are_refused_on_a_first_preview(
    name: str, plans: tuple[str, ...], least: int, tmp_path: Path
) -> None:
    before = own(name, preview=True)
    rows = [found for row in BREAKS if row.plan in plans and (found := planted(row, before))]
    stack, shown = new_planted(name, tmp_path), 0
    for run in islice(runs(before, rows), MOST_RUNS):
        code, told, said = stack.preview(run)
        assert code == 1, said
        for row in run:
            here = [one for one in told if (one["policyName"], one["enforcementLevel"]) == (row.rule, "mandatory")]
            for finding in row.findings:
                texts = [one["message"] for one in here if is_of(finding.resource, one["resourceUrn"])]
                assert any(finding.message in text for text in texts), row
        shown += len(run)
    assert shown >= least, f"{shown} of {len(rows)} rows"


@pytest.mark.parametrize(
    ("name", "rule"),
    [("dev", "dotenv-files-are-the-owners"), ("prod", "aws-keys-rotate"), ("prod-azure", "azure-app-speaks-tls")],
)
def test_up_stops_before_the_resource_of_a_planted_row_exists(name: str, rule: str, tmp_path: Path) -> None:
    before, stack = own(name, preview=True), new_planted(name, tmp_path)
    if name == "dev":
        stack.config["store"] |= {"root": str(tmp_path / "store")}
        stack.configure()
    row = next(found for row in BREAKS if row.rule == rule and (found := planted(row, before)))
    done = stack.planted("up", [row], "--yes", "--skip-preview")
    assert done.returncode != 0
    assert rule in done.stdout, done.stdout
    made = {one["urn"] for one in json.loads(stack.state())["deployment"]["resources"]}
    assert made and not made & {finding.resource for finding in row.findings}
