"""Check the workflows with actionlint, with rules of this repository, and by running the scripts of their steps.

bash runs the scripts as a GitHub runner would, with a HOME of their own. Stand-ins for `make`, `sudo`, Python and
`secretops` record their arguments.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools import workflows
from tools.steps import ROOT

FILES = sorted(workflows.WORKFLOWS.glob("*.yml"))
ACTIONS = sorted((ROOT / ".github/actions").rglob("action.yml"))
# Scripts with these words are not run: they need the network, change this machine, or are the gate itself.
NOT_RUN = ("apt-get", ".ci/run", "git fetch", "git config --global", "docker ", "gh ", "publish --trusted")

CALLS = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$*" in
    *"tools.review plan"*) echo 0123abc ;;
esac
"""


def document(path: Path) -> Any:
    # YAML 1.1 reads `on:` as true; GitHub does not.
    return yaml.safe_load(re.sub(r"^on:", '"on":', path.read_text(), flags=re.MULTILINE))


def jobs() -> Iterator[tuple[str, Any]]:
    for path in FILES:
        for name, job in document(path)["jobs"].items():
            yield f"{path.stem}.{name}", job


def scripts() -> Iterator[tuple[str, str, dict[str, str]]]:
    for name, job in jobs():
        for number, step in enumerate(job["steps"]):
            if "run" in step:
                yield f"{name}.{number}", step["run"], step.get("env", {})
    for path in ACTIONS:
        for number, step in enumerate(document(path)["runs"]["steps"]):
            if "run" in step:
                yield f"{path.parent.name}.{number}", step["run"], {}


@pytest.mark.real
def test_actionlint_has_nothing_to_say() -> None:
    done = workflows.actionlint()
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_action_is_ours_or_pinned_to_one_commit() -> None:
    for action in {found for path in (*FILES, *ACTIONS) for found in re.findall(r"uses: (\S+)", path.read_text())}:
        if action.startswith("./"):
            assert (ROOT / action / "action.yml").exists()
        else:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)


def test_newer_commit_of_main_does_not_cancel_the_gate_of_an_older() -> None:
    group = document(workflows.WORKFLOWS / "ci.yml")["concurrency"]["group"]
    assert group == "ci-${{ github.event.pull_request.number || github.sha }}"


def test_no_script_contains_an_expression() -> None:
    assert [name for name, script, _ in scripts() if "${{" in script] == []


def test_no_workflow_has_a_secret_and_no_checkout_keeps_its_token() -> None:
    for path in FILES:
        assert "secrets." not in path.read_text(), path
    offenders = [
        name
        for name, job in jobs()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@") and step["with"]["persist-credentials"]
    ]
    assert offenders == []


def test_jobs_that_run_a_pull_requests_code_have_no_write_permission() -> None:
    for path in FILES:
        read = document(path)
        assert "pull_request_target" not in read["on"], path
        if "pull_request" in read["on"]:
            for name, job in read["jobs"].items():
                granted = {**(read["permissions"] or {}), **job.get("permissions", {})}
                assert {key for key, word in granted.items() if word == "write"} <= {"id-token"}, (path, name)
    writers = [name for name, job in jobs() if job.get("permissions", {}).get("pull-requests") == "write"]
    assert writers == ["review.comment"]
    (job,) = document(workflows.WORKFLOWS / "review.yml")["jobs"].values()
    (checkout,) = [step for step in job["steps"] if "uses" in step]
    assert checkout["with"]["ref"] == "${{ github.event.repository.default_branch }}"
    assert [step["run"] for step in job["steps"] if "run" in step] == ["python3 -m tools.review post"]


def test_a_forks_job_has_no_environment_no_token_and_no_variable() -> None:
    both = document(workflows.WORKFLOWS / "preview.yml")["jobs"]
    ours, theirs = both["ours"], both["theirs"]
    assert theirs["permissions"] == {"contents": "read"}
    assert not {"environment", "env"} & theirs.keys()
    assert "vars." not in yaml.safe_dump(theirs)
    assert ours["environment"] == "preview"
    assert "head.repo.full_name == github.repository &&" in ours["if"]
    assert "head.repo.full_name != github.repository ||" in theirs["if"]
    runs = [[step["run"] for step in one["steps"] if "run" in step] for one in (ours, theirs)]
    assert runs[0] == runs[1], "both preview alike"


def test_job_with_a_cloud_token_has_an_environment() -> None:
    takes = {name: job.get("environment") for name, job in jobs() if "id-token" in job.get("permissions", {})}
    assert takes == {
        "preview.ours": "preview",
        "deploy.preview": "preview",
        "deploy.deploy": "${{ inputs.stack }}",
        "drift.drift": "drift",
        "drift.audit": "audit",
        "release.publish": "release",
    }


def test_nothing_is_deployed_before_it_was_previewed_judged_and_approved() -> None:
    deploy = document(workflows.WORKFLOWS / "deploy.yml")["jobs"]
    assert deploy["preview"]["if"] == "github.ref == 'refs/heads/main'"
    assert deploy["deploy"]["needs"] == "preview"
    words = ("tools.review preview", "plan --approved", "make up")
    runs = [step.get("run", "") for step in deploy["deploy"]["steps"]]
    places = [next(n for n, run in enumerate(runs) if word in run) for word in words]
    assert places == sorted(places)
    assert not any("continue-on-error" in step for step in deploy["deploy"]["steps"][: places[-1] + 1])


@pytest.mark.parametrize(
    ("script", "environment"),
    [
        pytest.param(script, environment, id=name)
        for name, script, environment in scripts()
        if not any(words in script for words in NOT_RUN)
    ],
)
def test_script_runs_in_the_runners_shell(script: str, environment: dict[str, str], tmp_path: Path) -> None:
    """Run the script as a runner does, with `bash -e`. Every variable must be set, and commands must get their
    arguments unchanged."""
    for place in ("bin/make", "bin/sudo", "bin/python3", "work/.venv/bin/python", "work/.venv/bin/secretops"):
        program = tmp_path / place
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(CALLS)
        program.chmod(0o755)
    names = ("HOME", "RUNNER_TEMP", "GITHUB_OUTPUT", "CALLS")
    variables = {
        **{name: str(tmp_path / f"the {name}") for name in names},
        "STACK": "prod",
        "GITHUB_REF_NAME": "v1.2.3",
        "STACKS": "dev staging prod",
    }
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-euo", "pipefail", "-c", script],
        cwd=tmp_path / "work",
        env={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", **variables, **dict.fromkeys(environment, "given")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (call,) = (tmp_path / "the CALLS").read_text().splitlines()
    command = call.removeprefix("sudo ").removeprefix("python3 ").removeprefix("python ")
    first, *words = command.split()
    if command.startswith("-m tools.review"):
        argv = [sys.executable, "-m", "tools.review", words[1], "--help"]
        known = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        assert set(re.findall(r"--[a-z]+", command)) <= set(re.findall(r"--[a-z]+", known))
    elif first == "make":
        assert "up" not in words or {"STACK=prod", "YES=1"} < {*words}
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words if "=" not in word} <= set(targets), command
    else:
        assert re.match(r"secretops (doctor|audit) ", command), command
    if "GITHUB_OUTPUT" in script:
        assert (tmp_path / "the GITHUB_OUTPUT").read_text() == "plan=0123abc\n"


@pytest.mark.real
def test_drift_of_an_unknown_stack_fails_and_its_page_says_so(tmp_path: Path) -> None:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("PULUMI_", "AWS_"))}
    done = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "tools.review", "drift", "dev"],
        cwd=ROOT,
        env={**inherited, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "nothing changes" not in (tmp_path / "summary").read_text()
    assert "1 stack not previewed" in (tmp_path / "summary").read_text()
