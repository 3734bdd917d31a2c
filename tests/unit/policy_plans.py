"""Plans for the tests of policies, from the program under mocks: valid, or with one break.

Each plan is made once per test session. The table of breaks in policy_breaks.py proves that each rule can fail.
"""

import json
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import rpc

from components.core.naming import PROJECT
from components.settings.section import PROJECT_FOLDER
from components.swarm import deployer, mcp_server
from policies.evidence import Verdict, judge, judge_by
from policies.plan import CONCEALED, UNKNOWN, Environment, Plan, Resource, judged, plan_from, resource
from policies.rule import Rule, rules
from secretops.platforms.swarm.location import MountedSecret
from tests.unit.aws_stack import SERVER, a_kubeconfig, a_package
from tests.unit.azure_ids import SUBSCRIPTION, TENANT
from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.stack_file import StackFile

# Stack name -> its file, of all shipped stacks.
STACK_FILES: Mapping[str, Path] = {
    path.name.split(".")[1]: path
    for path in sorted([*PROJECT_FOLDER.glob("Pulumi.*.yaml"), *(PROJECT_FOLDER / "examples").glob("Pulumi.*.yaml")])
}

_AWS = (
    'store: {kind: aws, region: eu-central-1, account: "123456789012", '
    "operators: [arn:aws:iam::123456789012:role/secrets-operator]}"
)
_AZURE = f"""store: {{kind: azure, tenant: {TENANT}, subscription: {SUBSCRIPTION}, location: westeurope,
    operators: [aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee], alert_emails: [ops@example.com],
    open_to_internet: trueREGISTRY}}"""
_VAULT = "store: {kind: vault, address: 'https://vault.example.com:8200', operators: [userpass/alice]}"
_CLUSTER = "server: {kind: kubernetes, image: 'registry.example.com/mcp:0.1.0'MORE}"
_REGISTRY = (
    f", registry: /subscriptions/{SUBSCRIPTION}/resourceGroups/shared/providers/Microsoft.ContainerRegistry"
    "/registries/plant"
)
_OIDC = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
_BROKER = "broker: {kind: coreflux, host: mqtt.example.com, ca_file: /etc/ssl/certs/ca.crt}"
_CERTIFIED = "broker: {kind: coreflux, host: mqtt.example.com, client_certificate: true}"
# Stack name -> the sections of its file. Copies: editing a shipped file breaks no test of a rule.
OWN: Mapping[str, tuple[str, ...]] = {
    "dev": ("store: {kind: dotenv}", "server: {kind: local}", "broker: {kind: embedded}"),
    "dev-aws-local": (_AWS, "server: {kind: local, reader: 'arn:aws:iam::123456789012:role/developer'}", _BROKER),
    "dev-vault-local": (_VAULT, "server: {kind: local}", _BROKER),
    "staging": ("store: {kind: kubernetes}", _CLUSTER.replace("MORE", ""), _BROKER),
    "staging-certified": (
        "store: {kind: kubernetes}",
        _CLUSTER.replace("MORE", ", certificate_issuer: {kind: Issuer, name: plant}"),
        _CERTIFIED,
    ),
    "staging-on-files": (
        "store: {kind: dotenv, deliver: files, root: /srv/coreflux-mcp}",
        "server: {kind: local}",
        "broker: {kind: mosquitto, host: mqtt.example.com, client_certificate: true}",
        "issuer: {kind: private-ca}",
    ),
    "prod": (
        _AWS,
        f"server: {{{SERVER}, image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/mcp:0.1.0'}}",
        _BROKER,
    ),
    "prod-aws-kubernetes": (_AWS, _CLUSTER.replace("MORE", f", oidc_provider: '{_OIDC}'"), _BROKER),
    "prod-azure": (
        _AZURE.replace("REGISTRY", _REGISTRY),
        "server: {kind: containerapp, image: 'plant.azurecr.io/mcp:0.1.0'}",
        _BROKER,
    ),
    "prod-azure-kubernetes": (
        _AZURE.replace("REGISTRY", ", image: 'registry.example.com/mcp:0.1.0'"),
        _CLUSTER.replace("MORE", ", oidc_issuer: 'https://westeurope.oic.prod-aks.azure.com/0123456789abcdef/'"),
        _BROKER,
    ),
    "prod-swarm": ("store: {kind: swarm}", "server: {kind: swarm, image: 'registry.example.com/mcp:0.1.0'}", _BROKER),
    "prod-swarm-published": (
        "store: {kind: swarm}",
        "server: {kind: swarm, image: 'registry.example.com/mcp:0.1.0', publish: ingress, port: 8000, replicas: 1}",
        _BROKER,
    ),
    "prod-vault-kubernetes": (_VAULT, _CLUSTER.replace("MORE", ""), _BROKER),
}

SECRET = {rpc._special_sig_key: rpc._special_secret_sig}  # The mark of encrypted values.

Change = Callable[[Plan], Plan]  # Turns a plan into another.


def text_of(stack: str) -> str:
    return "\n".join(["config:", *(f"  {section}" for section in OWN[stack])])


@cache
def own(stack: str, *, preview: bool = False) -> Plan:
    return planned(text_of(stack), stack, preview=preview)


@cache
def plan_of_options(name: str) -> Plan:
    from tests.unit import aws_stack, azure_stack, swarm_stack, vault_stack

    network = f', subnet: "{azure_stack.SUBNET}", network: {{private_endpoint: {azure_stack.ENDPOINT}}}'
    deployed: dict[str, Callable[[], Deployed]] = {
        "aws+": aws_stack.with_every_option,
        "azure+": azure_stack.with_every_option,
        "azure-closed": lambda: azure_stack.on_azure(network),
        "vault+": vault_stack.with_every_option,
        "vault-unrecorded": lambda: vault_stack.for_pods(", product: openbao"),
        "swarm+": lambda: swarm_stack.on_swarm(", rotator: service", attached=[swarm_stack.V3]),
    }
    return plan_of(deployed[name](), "prod")


OPTIONS = ("aws+", "azure+", "azure-closed", "vault+", "vault-unrecorded", "swarm+")


def plan(name: str) -> Plan:
    return plan_of_options(name) if name in OPTIONS else own(name)


@cache
def shipped(stack: str, *, preview: bool = False) -> Plan:
    """Return the plan of a shipped stack file. With `preview`, it is the plan before the first deployment."""
    return planned(STACK_FILES[stack].read_text(), stack, preview=preview)


def planned(text: str, stack: str, *, preview: bool = False) -> Plan:
    with with_fakes(text) as faked:
        return plan_of(deploy(StackFile.read(faked), stack, preview=preview), stack)


@contextmanager
def with_fakes(text: str) -> Iterator[str]:
    """Yield a stack file with fake CA files, kubeconfig, AWS package and Swarm manager."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setattr(mcp_server, "mounted_secrets", lambda _name: ())
        patch.setattr(mcp_server, "operator_secret", _login)
        patch.setattr(deployer, "ask_manager", lambda: None)
        warnings.filterwarnings("ignore", ".*has been deprecated", DeprecationWarning)
        with a_kubeconfig(), a_package():
            yield re.sub(r"/etc/ssl/certs/[a-z-]+\.crt", str(ca_file(Path(folder))), text)


def _login(secret: str, *, file_name: str, uid: str, gid: str) -> MountedSecret:
    return MountedSecret(secret_id="an-id", secret_name=secret, file_name=file_name, uid=uid, gid=gid, mode=0o400)


def plan_of(deployed: Deployed, stack: str, environment: Environment | None = None) -> Plan:
    """Return the plan of a run; `environment` overrides the stack's."""
    resources = [
        resource(
            _urn(stack, _chain(deployed, one.name), one.name),
            one.inputs,
            parent=_urn(stack, _chain(deployed, one.parent), one.parent) if one.parent else "",
            protect=one.protected,
            provider=one.provider,
        )
        for one in deployed.resources.values()
    ]
    plan = plan_from(resources, judged(deployed.exports), project=PROJECT, stack=stack)
    return replace(plan, environment=environment) if environment else plan


def _chain(deployed: Deployed, name: str) -> str:
    one = deployed.resources[name]
    return f"{_chain(deployed, one.parent)}${one.type}" if one.parent else one.type


def _urn(stack: str, kind: str, name: str) -> str:
    return f"urn:pulumi:{stack}::{PROJECT}::{kind}::{name}"


def wire(entry: Any) -> Any:
    match entry:
        case dict():
            return {key: wire(inner) for key, inner in entry.items()}
        case list():
            return [wire(inner) for inner in entry]
    return rpc.UNKNOWN if entry is UNKNOWN else {**SECRET, "value": "kept"} if entry is CONCEALED else entry


def events(plan: Plan) -> Iterator[str]:
    for one in plan.resources:
        new = {"urn": one.urn, "parent": one.parent or plan.urn, "inputs": wire(one.properties), "protect": one.protect}
        new["provider"] = f"urn:pulumi:s::p::pulumi:providers:x::{one.provider or 'default'}::{rpc.UNKNOWN}"
        yield json.dumps({"sequence": 1, "resourcePreEvent": {"metadata": {"op": "create", "new": new}}})
    new = {"urn": plan.urn, "outputs": wire(plan.outputs)}
    yield json.dumps({"sequence": 2, "resOutputsEvent": {"metadata": {"op": "create", "new": new}}})


def changed(at: str, *path: str | int, to: Any) -> Change:
    """Return a change of one property of one resource. `at` is the resource's name, or a type, which means the type's
    first resource; "" means the outputs.

    The path may continue inside a JSON text. A missing key is added. `to` may be a function of the current value.
    """

    def change(plan: Plan) -> Plan:
        if not at:
            return replace(plan, outputs=_set(plan.outputs, path, to))
        found = _found(plan, at)
        return _replaced(plan, found, replace(found, properties=_set(found.properties, path, to)))

    return change


def without(at: str) -> Change:
    def change(plan: Plan) -> Plan:
        _found(plan, at)
        return replace(plan, resources=tuple(one for one in plan.resources if at not in (one.name, one.type)))

    return change


def unprotected(at: str) -> Change:
    def change(plan: Plan) -> Plan:
        found = _found(plan, at)
        assert found.protect, f"{at}: not protected before either"
        return _replaced(plan, found, replace(found, protect=False))

    return change


def added(kind: str, properties: Mapping[str, Any], *, name: str = "added", protect: bool = False) -> Change:
    def change(plan: Plan) -> Plan:
        urn = _urn(plan.stack, kind, name)
        one = Resource(type=kind, name=name, urn=urn, properties=properties, protect=protect)
        return replace(plan, resources=(*plan.resources, one))

    return change


def broken(plan: Plan, at: str, path: tuple[str | int, ...], value: Any) -> Plan:
    return changed(at, *path, to=value)(plan)


@dataclass(frozen=True, kw_only=True)
class Break:
    """One break of a valid plan."""

    rule: str
    plan: str  # Its name, in OWN or OPTIONS.
    change: Change
    # The same place with an unknown value; None if the rule reads nothing that can be unknown.
    unknown: Change | None = None
    also: frozenset[str] = frozenset()  # Other rules that this breaks as well.


def named(rule: str) -> Rule:
    (found,) = (one for one in rules() if one.name == rule)
    return found


def verdicts(plan: Plan) -> dict[str, str]:
    """Map each rule that applies to "kept", "broken" or "unknown"."""
    return {one.rule.name: str(one.verdict) for one in judge(plan) if one.verdict is not Verdict.NOT_APPLICABLE}


def holds(break_: Break) -> None:
    """Fail the test unless only the expected rules are broken, and an unknown value is reported as unknown."""
    rule, changed_plan = named(break_.rule), break_.change(plan(break_.plan))
    assert results(break_.plan).get(rule.name) == "kept", f"{rule.name} before anything is broken"
    after = verdicts(changed_plan)
    assert after.get(rule.name) == "broken"
    fell = {name for name, outcome in after.items() if outcome == "broken"}
    assert sorted(fell) == sorted({rule.name} | break_.also), "no other rule is broken"
    for finding in rule.findings(changed_plan):
        assert finding.resource.startswith(f"urn:pulumi:{changed_plan.stack}::{PROJECT}::"), "a finding has a URN"
    if break_.unknown:
        assert judge_by(rule, break_.unknown(plan(break_.plan))).verdict is Verdict.UNKNOWN, "unknown is not kept"


@cache
def results(name: str) -> dict[str, str]:
    return verdicts(plan(name))


def _found(plan: Plan, at: str) -> Resource:
    found = [one for one in plan.resources if at in (one.name, one.type)]
    assert found, f"{at}: no resource of that name or type; there are {sorted(one.name for one in plan.resources)}"
    return found[0]


def _replaced(plan: Plan, old: Resource, new: Resource) -> Plan:
    return replace(plan, resources=tuple(new if one is old else one for one in plan.resources))


def _set(entry: Any, path: tuple[str | int, ...], to: Any) -> Any:
    if not path:
        return to(entry) if callable(to) else to
    step, *rest = path
    if isinstance(entry, str) and entry[:1] in "{[":
        return json.dumps(_set(json.loads(entry), path, to)) if to is not UNKNOWN else UNKNOWN
    if isinstance(entry, list):
        assert isinstance(step, int)
        return [_set(inner, tuple(rest), to) if at == step else inner for at, inner in enumerate(entry)]
    inside = {} if entry is None else entry
    return {**inside, step: _set(inside.get(step), tuple(rest), to)}
