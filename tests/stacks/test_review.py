"""A pull request's review with the real CLI: the three default stacks of a clone with changes."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stacks.prod import OF_CLOUDS
from tests.stacks.runbook import OPERATIONS, Clone, blocks, new_clone
from tools import kubernetes_parts

pytestmark = [pytest.mark.real, pytest.mark.slow]

(COMMANDS,) = blocks(OPERATIONS / "pull-requests.md")
# Of the stack files: a word in each that changed since the last commit.
CHANGES = {
    "dev": ("grace_seconds: 3", "grace_seconds: 5"),
    "staging": ("kind: kubernetes\n    image", "kind: kubernetes\n    replicas: 3\n    image"),
    "prod": ("kind: aws\n", "kind: aws\n    generation: 2\n"),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """Yield a clone without credentials and without a cluster, with its own HOME and a runner's variables."""
    home = tmp_path_factory.mktemp("home")
    made = new_clone(tmp_path_factory.mktemp("pull") / "clone", {})
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    made.environment |= {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(cache),
        "KUBECONFIG": str(home / "none"),
        "GITHUB_STEP_SUMMARY": str(home / "summary.md"),
        **{name: "" for name in os.environ if name.startswith(OF_CLOUDS)},
    }
    assert made.sh("make setup").returncode == 0
    yield made


@pytest.fixture(scope="module")
def printed(clone: Clone) -> str:
    """Change the stack files, run the page's two commands, and return all output."""
    if kubernetes_parts.PLUGIN not in kubernetes_parts.built():
        pytest.skip(f"{kubernetes_parts.PLUGIN} is missing: python3 tools/setup.py --parts")
    for stack, (before, after) in CHANGES.items():
        file = clone.folder / f"Pulumi.{stack}.yaml"
        assert before in file.read_text(), stack
        file.write_text(file.read_text().replace(before, after, 1))
    done = clone.sh(COMMANDS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_review_of_a_changed_stack_file_lists_losses_first(clone: Clone, printed: str) -> None:
    text = Path(clone.environment["GITHUB_STEP_SUMMARY"]).read_text()
    assert printed.endswith(text), "the run's page has what was printed"
    rows = [
        row
        for row in text.partition("| what | stack | resource | changed |\n|---|---|---|---|")[2].splitlines()
        if row.startswith("| ")
    ]
    assert rows[0].startswith("| **replace** (holds data) | `prod` |")
    stacks = {name: row for name in CHANGES for row in text.splitlines() if row.startswith(f"| `{name}` |")}
    assert "stand-in" in stacks["prod"]
    assert "rendered" in stacks["staging"]
    assert "| 1 update |" in stacks["dev"], "the rotator's files; not that two clones are in two folders"
    assert "| 2 update |" in stacks["staging"], "the deployment's replicas, which are in the rotator's manifest"
    assert all(int(re.findall(r"\| (\d+)", row)[-1]) > 5 for row in stacks.values()), "rules kept"
    assert "changes what judges it" not in text
    review = (clone.folder / ".state/review/review.json").read_text()
    for content in ("staging-mqtt.example.com", "registry.example.com", "123456789012", str(clone.folder)):
        assert content not in review + printed.partition("<!--")[2], "it has no content of the stack files"


def test_preview_of_a_review_leaves_the_clone_as_it_was(clone: Clone, printed: str) -> None:
    assert printed
    changed = clone.sh("git status --porcelain").stdout.split()
    assert sorted(word for word in changed if word != "M") == sorted(f"Pulumi.{name}.yaml" for name in CHANGES)
