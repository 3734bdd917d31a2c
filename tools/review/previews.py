"""Previews of stacks in a clone: with a state where one is chosen and has the stack, else beside those of the base.

It deploys nothing and writes into no stack file: Pulumi is given copies.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.review import authorities, identity, stream
from tools.review.replacing import replacing
from tools.review.review import Against, Broken, Provider, StackReview, name
from tools.steps import SetupError, run_step, say

PROJECT = "coreflux-mcp-secrets"
CHOSEN = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN")
"""With one of these a state was chosen, which may have the stack."""
PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105  # nosec B105 - a variable's name
"""Of a state; the empty one, for there is nothing in it to keep, unless the environment has another."""
AT_MOST = 1200
"""Seconds that a preview may take; a cluster that does not answer is waited for by Pulumi's provider for ever."""


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A commit that was checked out, and a folder of its own for what Pulumi keeps."""

    root: Path
    home: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def has(self, stack: str) -> bool:
        """Whether there is such a stack file."""
        return self._file(stack).exists()

    def missing(self, stack: str) -> str:
        """What the program asks of a machine and is not on this one, or nothing."""
        asks = re.search(r"^\s*kind:\s*kubernetes\b", self._file(stack).read_text(), re.MULTILINE)
        config = self.environment.get("KUBECONFIG") or str(Path.home() / ".kube/config")
        if asks and not any(Path(one).exists() for one in config.split(os.pathsep)):
            return "no kubeconfig: the stack is a cluster's"
        return ""

    def make_ready(self, stack: str) -> None:
        """As `make preview` would. Raises SetupError."""
        on_aws = re.search(r"^\s*kind:\s*aws\b", self._file(stack).read_text(), re.MULTILINE)
        wanted = ["setup", "lambda"] if on_aws else ["setup"]
        run_step(
            f"{self.root.name}: make {' '.join(wanted)} STACK={stack}",
            ["make", "-C", self.root, *wanted, f"STACK={stack}"],
            remedy="run the same in this clone",
            env=self.environment,
        )

    def has_chosen(self) -> bool:
        """Whether a state was chosen."""
        return any(self.environment.get(one) for one in CHOSEN)

    def knows(self, stack: str) -> bool:
        """Whether the state that was chosen has the stack. Raises SetupError where it can't be read."""
        if not self.has_chosen():
            return False
        done = self._pulumi(["stack", "ls", "--json"], self.environment)
        if done.returncode:
            raise SetupError("the stacks of the chosen state (pulumi stack ls)", "  it can't be read", "see its log")
        return any(one["name"].rpartition("/")[2] == stack for one in json.loads(done.stdout))

    def preview(self, stack: str, *, deployed: bool, refresh: bool = False, deploys: bool = False) -> str:
        """The event stream of one preview, against the chosen state or against none at all. Raises SetupError."""
        self.home.mkdir(parents=True, exist_ok=True)
        own = {} if deployed else self._nothing_deployed(stack)
        identity.take(self.environment, self.home)  # anew, for set-up may have taken longer than a token lives
        environment = {PASSPHRASE: "", **self.environment, **own}
        copy = self.home / f"Pulumi.{stack}.yaml"
        text, beside = self._file(stack).read_text(), deployed or deploys
        copy.write_text(authorities.with_its_own(text, self.root, stack, self.home, beside_a_state=beside))
        done = self._pulumi(
            ["preview", "--json", "--stack", stack, "--config-file", str(copy), *(["--refresh"] if refresh else [])],
            {**environment, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"},
        )
        return done.stdout

    def read(self, told: str) -> stream.Preview:
        """Of the event stream. Where the clone lies is left out, for that is no change."""
        return stream.preview(told.replace(str(self.root), "."))

    def provider(self, found: stream.Preview) -> Provider:
        """Whom the preview asked: set-up lays a stand-in where Pulumi looks first."""
        plugins = self.root / ".tools/bin"
        asked = any((plugins / f"pulumi-resource-{package}").exists() for package in found.packages)
        return Provider.STANDIN if asked else Provider.OWN

    def judged(self, stack: str, told: str) -> tuple[int, int, tuple[Broken, ...]]:
        """How many rules the preview keeps, how many it can't show yet, and those that it breaks. Raises SetupError."""
        events, evidence = self.home / f"{stack}.events", self.home / f"{stack}.evidence.json"
        events.write_text(told)
        done = subprocess.run(
            [self.root / ".venv/bin/python", "-m", "policies", "--json", evidence, events],
            cwd=self.root,
            check=False,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        if done.returncode not in (0, 1):
            raise SetupError(f"the policies over {stack}", "  they can't be asked", "run make preview in this clone")
        told_of = json.loads(evidence.read_text())["stacks"]
        if len(told_of) != 1:
            raise SetupError(f"the policies over {stack}", f"  {len(told_of)} stacks", "run make preview in this clone")
        judged = told_of[0]
        broken = [
            Broken(rule=name(rule), name=name(urn.rpartition("::")[2]))
            for rule, verdict in sorted(judged["verdicts"].items())
            if verdict == "broken"
            for urn in judged["findings"][rule]["broken"]
        ]
        verdicts = list(judged["verdicts"].values())
        return verdicts.count("kept"), verdicts.count("unknown"), tuple(broken)

    def _file(self, stack: str) -> Path:
        return self.root / f"Pulumi.{stack}.yaml"

    def _nothing_deployed(self, stack: str) -> dict[str, str]:
        """A state that is empty, whatever this machine has. The stack is made elsewhere, or its file would change."""
        state, elsewhere = self.home / "state", self.home / "project"
        # Pulumi's own home stays, for the plugins that set-up installs lie in it.
        own = {"PULUMI_BACKEND_URL": f"file://{state}", PASSPHRASE: "", CHOSEN[1]: ""}
        if not (state / f".pulumi/stacks/{PROJECT}/{stack}.json").exists():
            for folder in (state, elsewhere):
                folder.mkdir(exist_ok=True)
            (elsewhere / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
            done = self._pulumi(["stack", "init", stack, "--no-select"], {**self.environment, **own}, cwd=elsewhere)
            if done.returncode:
                raise SetupError(f"an empty state for {stack}", "  pulumi stack init failed", "see its log")
        return own

    def _pulumi(
        self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / ".venv/bin/pulumi"), *arguments, "--non-interactive"]
        with tempfile.TemporaryFile("w+") as output:  # a plugin that outlives Pulumi would hold a pipe open
            try:
                done = subprocess.run(
                    command,
                    check=False,
                    cwd=cwd or self.root,
                    env={**environment, "NO_COLOR": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    timeout=AT_MOST,
                )
            except subprocess.TimeoutExpired as error:
                raise SetupError(f"pulumi {arguments[0]}", f"  no end after {AT_MOST} s", "see its log") from error
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read(), "")


def review(stack: str, head: Clone, base: Clone | None, *, deploys: bool = False) -> StackReview:
    """Preview one stack, and judge it by the policies. A failed preview is told as one; raises SetupError else.

    Before a deployment (`deploys`) whatever would make the preview another one than the deployment's is an error.
    """
    if why := head.missing(stack):
        if deploys:
            raise _not_from_here(stack, why)
        say(f"- {stack} is not previewed: {why}")
        return StackReview(stack=stack, provider=Provider.NONE, against=Against.NOTHING)
    if deploys and not head.has_chosen():
        raise _not_from_here(stack, "no state is chosen (PULUMI_BACKEND_URL)")
    identity.take(head.environment, head.home)
    head.make_ready(stack)
    deployed, instead = _known(stack, head, deploys=deploys)
    told = head.preview(stack, deployed=deployed, deploys=deploys)
    found = head.read(told)
    provider = head.provider(found)
    if found.failed:
        _tell_why(told)
        return StackReview(stack=stack, provider=provider, against=Against.NOTHING, failed=True)
    if deploys and provider is not Provider.OWN:
        raise _not_from_here(stack, "no credentials: a stand-in was asked")
    kept, later, broken = head.judged(stack, told)
    changes, unchanged = stream.changes(found)
    against = Against.DEPLOYED if deployed else Against.NOTHING
    if not deployed and base and base.has(stack) and (before := _of_the_base(stack, base)):
        against = instead
        changes, unchanged = stream.compared(before, found, replacing)
    return StackReview(
        stack=stack,
        provider=provider,
        against=against,
        unchanged=unchanged,
        changes=changes,
        rules=kept,
        later=later,
        broken=broken,
    )


def _known(stack: str, head: Clone, *, deploys: bool) -> tuple[bool, Against]:
    """Whether the chosen state has the stack, and what it is compared with if not. Who only looks need not read it."""
    try:
        return head.knows(stack), Against.BASE
    except SetupError as error:
        if deploys:
            raise
        say(f"- {stack} is not compared with what is deployed: {error}")
        return False, Against.INSTEAD


def _of_the_base(stack: str, base: Clone) -> stream.Preview | None:
    """What fails there takes nothing away from what was found of the pull request."""
    try:
        base.make_ready(stack)
        before = base.read(base.preview(stack, deployed=False))
        if not before.failed:
            return before
        why = "its preview fails"
    except (SetupError, stream.NoStreamError) as error:
        why = str(error)
    say(f"- {stack} of the base can't be previewed, so nothing is compared: {why}")
    return None


def _not_from_here(stack: str, why: str) -> SetupError:
    return SetupError(
        f"a deployment of {stack}", f"  {why}", "give the job what docs/operations/pull-requests.md asks for"
    )


def _tell_why(told: str) -> None:
    """Into the job's log, where a preview without --json would have said it."""
    for line in told.splitlines():
        event: dict[str, Any] = json.loads(line)
        said = event.get("diagnosticEvent") or {}
        if said.get("severity") == "error":
            sys.stderr.write(said["message"])


def checked_out(commit: str, root: Path, folder: Path) -> Path:
    """The commit in a clone of its own in `folder`, which takes the objects of `root`. Raises SetupError."""
    remedy = "check out with its history (fetch-depth: 0), and name a commit that is in it"
    resolve = ["git", "-C", str(root), "rev-parse", "--verify", f"{commit}^{{commit}}"]
    found = run_step(f"which commit {commit} is", resolve, remedy=remedy).strip()
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder)]
    run_step(f"a clone for {commit}", clone, remedy=remedy)
    run_step(f"the files of {commit}", ["git", "-C", folder, "switch", "--quiet", "--detach", found], remedy=remedy)
    return folder
