"""Preview the stacks of a clone. Environment variables choose a Pulumi backend. If its state has the stack, the preview
is against that state.

Otherwise it is compared with a preview of the base commit. Nothing is deployed. Previews use copied stack files.
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

from tools.clone import asks_for
from tools.review import authorities, identity, stream
from tools.review.replacing import replacing
from tools.review.review import Against, Broken, Judge, Provider, StackReview, name
from tools.steps import SetupError, run_step, say

PROJECT = "coreflux-mcp-secrets"
# Variables that choose a Pulumi backend, and so a state.
CHOSEN = ("PULUMI_BACKEND_URL", "PULUMI_ACCESS_TOKEN")
# Passphrase of the state, which contains no secret values; empty by default.
PASSPHRASE = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105  # nosec B105 - a variable's name
# Maximum seconds of a command, since Pulumi's Kubernetes provider waits endlessly for a cluster.
AT_MOST = 1200
# Names no cluster. Without an API server, the provider returns objects as written. The token prevents a prompt for a
# user name; nothing listens on port 1.
NO_CLUSTER = """\
apiVersion: v1
kind: Config
current-context: {context}
clusters: [{{name: none, cluster: {{server: "https://127.0.0.1:1"}}}}]
users: [{{name: none, user: {{token: none}}}}]
contexts: [{{name: {context}, context: {{cluster: none, user: none}}}}]
"""
_CONTEXT = re.compile(r"^ +context:[ ]*[\"']?([A-Za-z0-9@:/._-]+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Clone:
    """A checked-out commit, and a folder for Pulumi's files about it."""

    root: Path
    home: Path
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def has(self, stack: str) -> bool:
        return self._file(stack).exists()

    def missing(self, stack: str) -> str:
        """Return what the program needs and this machine lacks, or ""."""
        config = self.environment.get("KUBECONFIG") or str(Path.home() / ".kube/config")
        if asks_for("kubernetes", stack, root=self.root) and not any(
            Path(one).exists() for one in config.split(os.pathsep)
        ):
            return "there is no kubeconfig, which a stack in a cluster requires"
        return ""

    def make_ready(self, stack: str) -> None:
        wanted = ["setup", "lambda"] if asks_for("aws", stack, root=self.root) else ["setup"]
        run_step(
            f"{self.root.name}: make {' '.join(wanted)} STACK={stack}",
            ["make", "-C", self.root, *wanted, f"STACK={stack}"],
            remedy="run the same command in this clone",
            env=self.environment,
        )

    def has_chosen(self) -> bool:
        return any(self.environment.get(one) for one in CHOSEN)

    def knows(self, stack: str) -> bool:
        """Return whether the chosen state has the stack. Raises SetupError if the state is unreadable."""
        if not self.has_chosen():
            return False
        done = self._pulumi(["stack", "ls", "--json"], self.environment)
        if done.returncode:
            raise SetupError(
                "the stacks of the chosen state (pulumi stack ls)",
                "  pulumi failed",
                "read the lines above; check PULUMI_BACKEND_URL and its login",
            )
        return any(one["name"].rpartition("/")[2] == stack for one in json.loads(done.stdout))

    def preview(self, stack: str, *, deployed: bool, refresh: bool = False, deploys: bool = False) -> str:
        """Preview a stack, against the chosen state if `deployed`, otherwise an empty one. Return the event stream.
        Raises SetupError."""
        self.home.mkdir(parents=True, exist_ok=True)
        own = {} if deployed else self._nothing_deployed(stack) | self._without_cluster(stack)
        identity.take(self.environment, self.home)  # again, since set-up may take longer than a token is valid
        environment = {PASSPHRASE: "", **self.environment, **own}
        copy = self.home / f"Pulumi.{stack}.yaml"
        text, has_state = self._file(stack).read_text(), deployed or deploys
        copy.write_text(authorities.with_its_own(text, self.root, stack, self.home, beside_a_state=has_state))
        done = self._pulumi(
            ["preview", "--json", "--stack", stack, "--config-file", str(copy), *(["--refresh"] if refresh else [])],
            {**environment, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"},
        )
        return done.stdout

    def read(self, events: str) -> stream.Preview:
        return stream.preview(events.replace(str(self.root), "."))

    def provider(self, found: stream.Preview, stack: str = "") -> Provider:
        """Return which provider the preview used. A stand-in is in .tools/bin, which is first on PATH."""
        plugins = self.root / ".tools/bin"
        if any((plugins / f"pulumi-resource-{package}").exists() for package in found.packages):
            return Provider.STANDIN
        return Provider.RENDERED if stack and self.missing(stack) else Provider.OWN

    def judged(self, stack: str, text: str) -> tuple[int, int, tuple[Broken, ...]]:
        """Apply the policies to the events of a preview. Return the number of passed rules, the number of rules that
        cannot be judged yet, and the broken rules.

        Raises SetupError.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        events, evidence = self.home / f"{stack}.events", self.home / f"{stack}.evidence.json"
        events.write_text(text)
        evidence.unlink(missing_ok=True)
        done = subprocess.run(
            [self.root / ".venv/bin/python", "-m", "policies", "--json", evidence, events],
            cwd=self.root,
            check=False,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        if done.returncode not in (0, 1):
            raise SetupError(
                f"the policies over {stack}", "  they can't judge this preview", f"make preview STACK={stack}"
            )
        stacks = json.loads(evidence.read_text())["stacks"]
        if len(stacks) != 1:
            raise SetupError(
                f"the policies over {stack}", f"  {len(stacks)} stacks in one preview", f"make preview STACK={stack}"
            )
        judged = stacks[0]
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

    def _without_cluster(self, stack: str) -> dict[str, str]:
        if not self.missing(stack):
            return {}
        context = _CONTEXT.search(self._file(stack).read_text())
        file = self.home / "no-cluster.yaml"
        file.write_text(NO_CLUSTER.format(context=json.dumps(context[1] if context else "none")))
        return {"KUBECONFIG": str(file)}

    def _nothing_deployed(self, stack: str) -> dict[str, str]:
        state, elsewhere = self.home / "state", self.home / "project"
        # PULUMI_HOME stays the same, for its plugins.
        own = {"PULUMI_BACKEND_URL": f"file://{state}", PASSPHRASE: "", CHOSEN[1]: ""}
        if not (state / f".pulumi/stacks/{PROJECT}/{stack}.json").exists():
            for folder in (state, elsewhere):
                folder.mkdir(exist_ok=True)
            (elsewhere / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
            done = self._pulumi(["stack", "init", stack, "--no-select"], {**self.environment, **own}, cwd=elsewhere)
            if done.returncode:
                raise SetupError(f"an empty state for {stack}", "  pulumi stack init failed", "read the lines above")
        return own

    def _pulumi(
        self, arguments: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.root / ".venv/bin/pulumi"), *arguments, "--non-interactive"]
        with tempfile.TemporaryFile("w+") as output:  # with a pipe, a plugin that outlives Pulumi would keep it open
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
                raise SetupError(
                    f"pulumi {arguments[0]}", f"  not finished after {AT_MOST} s", "read the lines above"
                ) from error
            output.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read(), "")


def review(stack: str, head: Clone, base: Clone | None, *, deploys: bool = False) -> StackReview:
    """Preview a stack, and judge it by its policies, and also by those of `base` if there is one. Raises SetupError.

    `deploys`: a deployment follows. Whatever would make the preview differ from the deployment, such as a missing
    cluster, is then an error.
    """
    rendered = head.missing(stack)
    if rendered and deploys:
        raise _not_from_here(stack, rendered)
    if deploys and not head.has_chosen():
        raise _not_from_here(stack, "no backend is set (PULUMI_BACKEND_URL)")
    identity.take(head.environment, head.home)
    head.make_ready(stack)
    # Without the cluster, the deployed objects are unreadable.
    deployed, instead = (False, Against.BASE) if rendered else _known(stack, head, deploys=deploys)
    text = head.preview(stack, deployed=deployed, deploys=deploys)
    preview = head.read(text)
    provider = head.provider(preview, stack)
    if preview.failed:
        _print_errors(text)
        return StackReview(stack=stack, provider=provider, against=Against.NOTHING, failed=True, errors=preview.refused)
    if deploys and provider is not Provider.OWN:
        raise _not_from_here(stack, "there are no credentials, so a stand-in provider was used")
    kept, later, broken = head.judged(stack, text)
    if base:
        base.make_ready(stack if base.has(stack) else "dev")
        broken = _by_both(broken, base.judged(stack, text)[2])
    found = stream.changes(preview)
    against = Against.DEPLOYED if deployed else Against.NOTHING
    if not deployed and base and base.has(stack):
        against = Against.NO_BASE
        if before := _of_the_base(stack, base):
            against = instead
            found = stream.compared(before, preview, replacing)
    return StackReview(
        stack=stack,
        provider=provider,
        against=against,
        unchanged=found.unchanged,
        changes=found.changes,
        rules=kept,
        later=later,
        unread=preview.unread,
        broken=broken,
        values_lost=found.values_lost,
        values_new=found.values_new,
    )


def _by_both(head: Sequence[Broken], base: Sequence[Broken]) -> tuple[Broken, ...]:
    # A rule that the pull request disables counts as broken.
    rules = {(one.rule, one.name): Judge.HEAD for one in head}
    for one in base:
        key = (one.rule, one.name)
        rules[key] = Judge.BOTH if key in rules else Judge.BASE
    return tuple(Broken(rule=rule, name=at, judge=judge) for (rule, at), judge in sorted(rules.items()))


def _known(stack: str, head: Clone, *, deploys: bool) -> tuple[bool, Against]:
    try:
        return head.knows(stack), Against.BASE
    except SetupError as error:
        if deploys:
            raise
        say(f"- {stack} is not compared with what is deployed: {error}")
        return False, Against.INSTEAD


def _of_the_base(stack: str, base: Clone) -> stream.Preview | None:
    # A preview of the base that fails does not fail the review.
    try:
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
        f"a deployment of {stack}", f"  {why}", "configure the job as in docs/operations/pull-requests.md"
    )


def _print_errors(text: str) -> None:
    for line in text.splitlines():
        event: dict[str, Any] = json.loads(line)
        diagnostic = event.get("diagnosticEvent") or {}
        if diagnostic.get("severity") == "error":
            sys.stderr.write(diagnostic["message"])


def changed_files(base: str, root: Path) -> list[str]:
    """Return the old and new names of files that differ from the commit `base`. Raises SetupError."""
    command = ["git", "-C", str(root), "diff", "--name-only", "--no-renames", base]
    return run_step(
        f"what has changed since {base}", command, remedy="name a commit of this clone: git log"
    ).splitlines()


def checked_out(commit: str, root: Path, folder: Path) -> Path:
    """Clone a commit into `folder`, sharing the objects of `root`. Raises SetupError."""
    remedy = "check out the whole history (fetch-depth: 0), and name a commit in it"
    resolve = ["git", "-C", str(root), "rev-parse", "--verify", f"{commit}^{{commit}}"]
    found = run_step(f"which commit {commit} is", resolve, remedy=remedy).strip()
    clone = ["git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder)]
    run_step(f"a clone for {commit}", clone, remedy=remedy)
    run_step(f"the files of {commit}", ["git", "-C", folder, "switch", "--quiet", "--detach", found], remedy=remedy)
    return folder
