"""Generate docs/reliability.md: which tests prove each gate for each shipped stack, and what no test proves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.gates.table import GATES, TABLE
from tests.mutants.record import read_mutants
from tools.live.checks import CLAIMS, ByHand

ROOT = Path(__file__).resolve().parent.parent

HEAD = """# Reliability

Which tests prove that a stack stays safe and available, and what no test proves.

**Nothing on this page was proven in an account of AWS or Azure, nor in a whole cluster.** The tests run on one machine,
with emulators of AWS and Azure. [Stand-ins](operations/standin.md) replace the Pulumi providers of AWS, Azure and
Vault, and a stand-in for the kubelet runs a cluster's pods. [What was never reached](#what-was-never-reached) lists
what no test proves for that reason.

A *gate* is a promise about a stack. For each of seven gates and each stack file of this repository, the tables list the
tests that prove the gate, or what is not proven and why. For the gates crash, clock and year the server makes no
difference, so one test can prove them for several stack files. This page is generated from `tests/gates/table.py`.

`make gates` runs only the test files that this page names. `make test` runs their tests that are not marked `slow`, and
`make test-all` runs all of their tests.
"""

UNREACHED = """
## What was never reached

The tests run the Pulumi engine, the unmodified server over stdio and HTTP, mosquitto with TLS and dynamic security, and
the embedded broker. If the MCP server's source is not available, a small server replaces the MCP server, and the test
proves only the launcher's part. Audit logs of AWS and Azure are test data in the form that their documentation shows.

- **Kubernetes.** Tests run etcd, API server and controller manager with RBAC, audit and encryption at rest, and
  Pulumi's own provider. Never reached: a kubelet (a stand-in runs pods as processes and mounts their volumes), a
  network plugin that enforces NetworkPolicies, cert-manager and External Secrets. The objects for the last two are
  checked against their published schemas.
- **AWS.** Tests run the SDK on a [stand-in provider](operations/standin.md), the emulator moto with AWS' rules for
  versions, labels and certificates, and an evaluator of policies. Never reached: an account. So it is [not
  proven](operations/aws.md#what-is-not-proven) that AWS accepts the program, that a role's rights suffice, that an
  event, a schedule or an alarm arrives, or that a task starts.
- **Azure.** Tests run the SDK on a stand-in provider, the emulator Azurite, Microsoft's query parser, and an emulator
  of Key Vault that is checked against Azure's published API description. Never reached: a subscription. So it is [not
  proven](operations/azure.md#what-is-not-proven) that a role can be assigned on a secret that does not exist yet, which
  the design needs. Nor is it proven that a job starts, an event arrives or an alert fires.
- **Vault.** Tests run OpenBao with TLS, raft and audit devices, and OpenBao's agent. A stand-in provider creates what
  the stacks declare, with the [documented rights](operations/vault.md). Never reached: HashiCorp's own server,
  Enterprise, the injector's webhook, Pulumi's own provider.
- **Docker Swarm.** Tests run one manager, Pulumi's own provider and two replicas of the image with the unmodified
  server. Never reached: a second node, the ingress network, virtual addresses, [a reverse
  proxy](operations/swarm.md#what-is-not-proven).
- **DigitalOcean.** Tests run an emulator that is checked against the published API description. Never reached: an
  account and an agent. So it is not known how soon an agent accepts a new key, or how many keys an agent may have.
- **GitHub.** Tests run actionlint, each step's script, and the previews by the real CLI. Never reached: a [workflow
  run](operations/pull-requests.md). So it is not proven that GitHub issues a token, that a role accepts the token, or
  that an approval is requested.
- **Coreflux broker.** Tests run its documented user commands on the embedded broker, which speaks MQTT 3.1.1 only.
  Never reached: the broker itself, which no package registry has.
"""

BAD_INPUT = """
## Broken stack files and random input

Tests read a table of broken stack files. Each error must name its place, the rule and the remedy. All errors of a file
must be reported at once, and no error may repeat a text that may be a secret. Unusual but valid stack files must be
accepted. Hypothesis generates documents, log lines and answers, most of them broken, and the same in each run.

**If a stack file is not valid YAML, an error of `pulumi` may repeat a password from the file.** `make up` and `make
preview` check the file first, and print the line, the column and the cause without the file's text. If you call
`pulumi` directly, Pulumi prints its own message.
"""

MUTANTS = """
## Recorded mutants

A mutant is a bug that somebody could make: another expression replaces one expression of the code. `make mutants`
applies each mutant to a copy of the clone, and runs the tests that must then fail. `tests/mutants` records {count}
mutants. {measured}

| mutant | what the bug would cause | noticed by |
|---|---|---|
"""
# Output of `python -m tests.mutants --tier test`, with the date.
MEASURED = """On 29 November 2026, the tests of `make test` noticed all 386 mutants that were recorded then: 385 in one
run, and the last one after its test was extended. Mutants that were recorded later are not in this figure."""


def render() -> str:
    parts = [HEAD, *_gates(), *_stacks(), *_gaps(), UNREACHED, *_claims(), *_tests(), BAD_INPUT, *_mutants()]
    return "\n".join(parts)


def _gates() -> Iterator[str]:
    yield "| gate | shows |\n|---|---|"
    for gate, shows in GATES.items():
        yield f"| {gate} | {shows} |"


def _stacks() -> Iterator[str]:
    yield f"\n## The stacks\n\n| stack file | {' | '.join(GATES)} |\n|---|{'---|' * len(GATES)}"
    for stack, cells in TABLE.items():
        marks = (
            "in part" if cell.proofs and cell.gap else "proven" if cell.proofs else "not" for cell in cells.values()
        )
        yield f"| `{stack}` | {' | '.join(marks)} |"


def _gaps() -> Iterator[str]:
    yield "\n## What is not proven\n\n| gate | stack files | why |\n|---|---|---|"
    for gate in GATES:
        found: dict[str, list[str]] = {}
        for stack, cells in TABLE.items():
            if cells[gate].gap:
                found.setdefault(cells[gate].gap, []).append(_short(stack))
        for gap, stacks in found.items():
            yield f"| {gate} | {_named(stacks)} | {gap} |"


def _claims() -> Iterator[str]:
    yield "[`make live`](operations/live.md) checks in your own account what these tests can't prove:\n"
    yield "| check | on | proves |\n|---|---|---|"
    for claim in CLAIMS:
        by_hand = any(isinstance(one, ByHand) for one in claim.evidence)
        yield f"| `{claim.name}` | {', '.join(claim.kinds)} | {claim.proves}{' (by hand)' if by_hand else ''} |"


def _tests() -> Iterator[str]:
    yield "\n## The tests"
    for gate in GATES:
        yield f"\n### {gate.capitalize()}\n\n| test | stack files |\n|---|---|"
        found: dict[str, list[str]] = {}
        for stack, cells in TABLE.items():
            for proof in cells[gate].proofs:
                found.setdefault(proof, []).append(_short(stack))
        for proof, stacks in found.items():
            file, _, name = proof.partition("::")
            yield f"| [{file}](../{file}): {name.removeprefix('test_').replace('_', ' ')} | {_named(stacks)} |"


def _mutants() -> Iterator[str]:
    mutants = read_mutants()
    head = MUTANTS.format(count=len(mutants), measured=MEASURED).rstrip("\n")
    rows = (f"| {mutant.id} | {mutant.bug} | {_file(mutant.killed_by[0])} |" for mutant in mutants)
    yield "\n".join([head, *rows])


def _file(test: str) -> str:
    file = test.partition("::")[0]
    return f"[{Path(file).name}](../{file})"


def _named(stacks: list[str]) -> str:
    everywhere = len(stacks) == len(TABLE)
    return "all" if everywhere else ", ".join(stacks)


def _short(stack: str) -> str:
    return stack.rpartition("/")[2].split(".")[1]
