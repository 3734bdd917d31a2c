"""docs/reliability.md: the gates of every shipped stack, made of the table that the tests are held to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.gates.table import GATES, TABLE

ROOT = Path(__file__).resolve().parent.parent

HEAD = """# Reliability

**No cell of this page was proven in an account of AWS or Azure, nor in a whole cluster.** Proven is on the real Pulumi
engine, brokers, OpenBao, Docker Swarm and Kubernetes API server of the machine that runs the tests; in AWS' place on
moto, in Azure's on emulators of ours, and with [stand-ins](operations/standin.md) for their Pulumi providers and for
what runs a cluster's pods. What that leaves open: [README](../README.md#what-is-proven-and-what-is-not).

Seven gates, one suite over all stacks. Each stack file that is shipped has a cell for each gate: the tests that prove
it, or what is not proven and why. This page is generated from `tests/gates/table.py`, which
`tests/unit/test_gates.py` holds to the stack files and to the tests: one that is named exists, and a gap has a reason.

Crash, clock and year are about a store, its rotator and the broker, whatever the server is.

`make gates` runs the files that are named here, and nothing else; `make test` has them among all others.
"""

BAD_INPUT = """
## Broken stack files

`tests/unit/broken_stack_files.yaml` has {count}: what each changes of a good stack file, and where each error is with a
part of its rule or remedy. All errors are reported at once, in 80 columns, and no secret is repeated. One goes through
the real `pulumi preview`.

What is no YAML is told by Pulumi's own reader, with its line. It repeats one thing of a file: the name of an anchor
that is not there, which is what a password that begins with `*` looks like to it. `make up` and `make preview`
therefore look first, and name the line alone; who calls `pulumi` itself gets Pulumi's words.

## Random input

Documents, log lines and answers are drawn by hypothesis: right but for one or two places, cut short, foreign, or any
bytes.
The draws are the same on each run. What they found is mended, and stays found.
"""


def render() -> str:
    """The whole page."""
    table = (ROOT / "tests/unit/broken_stack_files.yaml").read_text()
    count = table.partition("\nbroken:\n")[2].count("\n  - [")
    parts = [HEAD, *_gates(), *_stacks(), *_gaps(), *_tests(), BAD_INPUT.format(count=count)]
    return "\n".join(parts)


def _gates() -> Iterator[str]:
    yield "| gate | shows |\n|---|---|"
    for gate, shows in GATES.items():
        yield f"| {gate} | {shows} |"


def _stacks() -> Iterator[str]:
    yield f"\n## The stacks\n\n| stack file | {' | '.join(GATES)} |\n|---|{'---|' * len(GATES)}"
    for stack, cells in TABLE.items():
        said = (
            "in part" if cell.proofs and cell.gap else "proven" if cell.proofs else "not" for cell in cells.values()
        )
        yield f"| `{stack}` | {' | '.join(said)} |"


def _gaps() -> Iterator[str]:
    yield "\n## What is not proven\n\n| gate | stack files | why |\n|---|---|---|"
    for gate in GATES:
        found: dict[str, list[str]] = {}
        for stack, cells in TABLE.items():
            if cells[gate].gap:
                found.setdefault(cells[gate].gap, []).append(_short(stack))
        for gap, stacks in found.items():
            yield f"| {gate} | {_named(stacks)} | {gap} |"


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


def _named(stacks: list[str]) -> str:
    everywhere = len(stacks) == len(TABLE)
    return "all" if everywhere else ", ".join(stacks)


def _short(stack: str) -> str:
    return stack.rpartition("/")[2].split(".")[1]
