"""Run the program on the AWS platform under mocks, and list its roles for reviewers.

To update the list, run python -m tests.unit.aws_stack > tests/unit/golden/aws-roles.txt
"""

import atexit
import difflib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

from tests.unit.harness import Deployed, ca_file, deploy
from tests.unit.iam import listed, roles, statements
from tests.unit.stack_file import StackFile

IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/coreflux-mcp-secrets:0.1.0"
OPERATOR = "arn:aws:iam::123456789012:role/secrets-operator"
OIDC = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF"
READER = "arn:aws:iam::123456789012:user/alice"
# In another account and region, which shares it.
CA = "arn:aws:acm-pca:eu-west-1:210987654321:certificate-authority/01234567-89ab-cdef-0123-456789abcdef"
GOLDEN = Path(__file__).with_name("golden") / "aws-roles.txt"
STORE = f'kind: aws, region: eu-central-1, account: "123456789012", operators: {[OPERATOR]}'
SUBNETS = "[subnet-0123456789abcdef0, subnet-0123456789abcdef1]"
SERVER = f"kind: ecs, subnets: {SUBNETS}, security_groups: [sg-0123456789abcdef0]"


@cache
def ca() -> Path:
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return ca_file(Path(folder))


@contextmanager
def a_package(*, current: bool = True) -> Iterator[None]:
    """Pretend that `make lambda` has just run, or if `current` is false, long ago. The mocks open no archive."""
    with mock.patch("components.aws.rotation.is_current", return_value=current):
        yield


@contextmanager
def a_kubeconfig() -> Iterator[None]:
    """Provide a kubeconfig. The mocks connect to no cluster."""
    with mock.patch("secretops.platforms.kubernetes.kubeconfig.select_context"):
        yield


def on_aws(
    store: str = "",
    server: str = "",
    broker: str = "",
    *,
    stack: str = "prod",
    kind: str = SERVER,
    image: str = IMAGE,
    package: bool = True,
    operators: tuple[str, ...] = (OPERATOR,),
    into: Deployed | None = None,
    **more: str,
) -> Deployed:
    """Deploy a stack of the AWS store, with more entries in each section. `kind` is the server's kind.

    On ECS the reference is NativeRef unless `server` sets another. The same stack is deployed only once per test
    session, unless `into` is set.
    """
    if kind == SERVER and "reference:" not in server:
        server += ", reference: NativeRef"
    option = f', image: "{image}"' if image else ""
    sections = {
        "store": f"{{{STORE.replace(str([OPERATOR]), str(list(operators)))}{store}}}",
        "server": f"{{{kind}{option}{server}}}",
        "broker": f"{{kind: coreflux, host: mqtt.example.com{broker}}}",
        **more,
    }
    text = "\n".join(["config:", *(f"  {name}: {text}" for name, text in sections.items())])
    if into is None and package:
        return _deployed(text, stack)
    with a_package(current=package):
        return deploy(StackFile.read(text), stack, into=into)


@cache
def _deployed(text: str, stack: str) -> Deployed:
    with a_package():
        return deploy(StackFile.read(text), stack)


def prod() -> Deployed:
    return on_aws(broker=f", ca_file: {ca()}")


def for_pods(server: str = "", broker: str = "") -> Deployed:
    with a_kubeconfig():
        return on_aws("", server, broker, kind=f"kind: kubernetes, oidc_provider: '{OIDC}'")


def for_this_machine(server: str = "", broker: str = "", *, stack: str = "dev", reader: str = READER) -> Deployed:
    return on_aws("", server, broker, stack=stack, kind=f"kind: local, reader: '{reader}'", image="")


def with_every_option() -> Deployed:
    return on_aws(
        ", replicas: [eu-west-1], vpc: {subnets: [subnet-0123456789abcdef0], security_groups: [sg-0123456789abcdef1], "
        "way_out: vpce-0123456789abcdef0}, alert_emails: [ops@example.com]",
        ", reference: Fetched, replicas: 1, allowed_hosts: [mcp.example.com], load_balancer: {security_groups: "
        "[sg-0123456789abcdef0], vpc: vpc-0123456789abcdef0, "
        "certificate: 'arn:aws:acm:eu-central-1:123456789012:certificate/0'}",
        ", client_certificate: true",
        issuer=f"{{kind: aws-private-ca, arn: '{CA}'}}",
    )


def every_role() -> str:
    native, everything, pods = prod(), with_every_option(), for_pods()
    known = {title for title, _ in _shown(native)}
    lines = [
        "What each role of a stack of AWS may, who takes it, and the policy of each secret, key, bucket, topic, queue.",
        "Made by: python -m tests.unit.aws_stack > tests/unit/golden/aws-roles.txt", "",
        "References NativeRef, no VPC, no replica", *(line for _, text in _shown(native) for line in text), "",
        "With every option: Fetched, a VPC with an endpoint, a replica, a load balancer, a client certificate of a CA.",
        "Differences from the above: added, or missing (-)", *_changed(native, everything), "",
        "For a server in a cluster, besides those that rotate: the role that External Secrets takes",
        *(line for title, text in _shown(pods) if title not in known for line in text), "",
        "What each action is for, and why one on * has to be: tests/unit/aws_reasons.py",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _changed(before: Deployed, after: Deployed) -> Iterator[str]:
    old = dict(_shown(before))
    for title, text in _shown(after):
        was = old.get(title, [])
        # The other rotator's changes have the form of this one's.
        if was == text or "rotate-broker-admin" in title:
            continue
        yield from ("", title)
        compared = difflib.unified_diff(was[2:], text[2:], n=0, lineterm="")
        yield from (line for line in compared if line[:2] not in ("--", "++", "@@"))


def _shown(deployed: Deployed) -> Iterator[tuple[str, list[str]]]:
    trusts = {role.inputs["name"]: role.inputs["assumeRolePolicy"] for role in deployed.of_type("aws:iam/role:Role")}
    for role, own in sorted(roles(deployed).items()):
        yield role, ["", role if own else f"{role}: nothing", *_of_role(statements(trusts[role]), own)]
    for name, resource in sorted(deployed.resources.items()):
        # Each secret's policy has the form of this one.
        is_shown = name == "policy-mqtt" or resource.type != "aws:secretsmanager/secretPolicy:SecretPolicy"
        if is_shown and not resource.type.startswith("aws:iam/") and "policy" in resource.inputs:
            yield f"{name}: its policy", ["", f"{name}: its policy", *_guarding(statements(resource.inputs["policy"]))]


def _of_role(trust: Sequence[Any], own: Sequence[Any]) -> Iterator[str]:
    for statement in trust:
        yield f"  taken by {_principal(statement['Principal'])} ({', '.join(listed(statement['Action']))})"
        yield from _conditions(statement)
    for statement in own:
        if statement["Effect"] == "Deny":
            yield "  never:"
        yield from _actions("  ", statement, listed(statement["Resource"]))
        yield from _conditions(statement)


def _guarding(found: Sequence[Any]) -> Iterator[str]:
    for statement in found:
        sid = f"  [{statement['Sid']}]" if "Sid" in statement else ""
        yield f"  {statement['Effect'].lower()} {_principal(statement['Principal'])}{sid}"
        yield from _actions("    ", statement, [place for place in listed(statement["Resource"]) if place != "*"])
        yield from _conditions(statement)


def _actions(indent: str, statement: Any, places: Sequence[str]) -> Iterator[str]:
    first = "".join(f" on {place}" for place in places[:1])
    yield f"{indent}{', '.join(listed(statement['Action']))}{first}"
    yield from (f"    on {place}" for place in places[1:])


def _principal(principal: Any) -> str:
    if principal == "*":
        return "everybody"
    ((kind, named),) = principal.items()
    return ", ".join(
        {"AWS": "the account, by the policies of"}.get(kind, "") + f" {one}" for one in listed(named)
    ).strip()


def _conditions(statement: Any) -> Iterator[str]:
    found = [
        f"{key} {operator} {(' and ' if 'Not' in operator else ' or ').join(listed(wanted))}"
        for operator, keys in sorted(statement.get("Condition", {}).items())
        for key, wanted in sorted(keys.items())
    ]
    if found:
        yield f"    if {'; if '.join(found)}"


if __name__ == "__main__":
    print(every_role(), end="")
