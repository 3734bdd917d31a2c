"""The commands of the review's jobs: whose rules apply, how a plan is approved, and a broker's CA."""

import json
import random
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secretops.platforms.kubernetes.kubeconfig import select_context
from tools.review import __main__ as command
from tools.review import authorities, previews
from tools.review.comment import JUDGED, MARK
from tools.review.review import Against, Broken, Change, Judge, Op, Provider, StackReview, read, written
from tools.steps import ROOT, SetupError


def review(folder: Path, op: Op, unchanged: int = 0) -> str:
    change = Change(op=op, type="aws:kms/key:Key", name="key")
    made = StackReview(
        stack="prod", provider=Provider.OWN, against=Against.DEPLOYED, changes=(change,), unchanged=unchanged
    )
    file = folder / f"{op}-{unchanged}.json"
    file.write_text(written((made,)))
    return str(file)


def test_only_an_approved_plan_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["plan", review(tmp_path, Op.UPDATE)]) == 0
    approved = capsys.readouterr().out.strip()
    assert command.main(["plan", "--approved", approved, review(tmp_path, Op.UPDATE, unchanged=9)]) == 0
    assert command.main(["plan", "--approved", approved, review(tmp_path, Op.REPLACE)]) == 1
    assert "the plan: failed" in capsys.readouterr().err
    assert command.main(["plan", "--approved", "", review(tmp_path, Op.UPDATE)]) == 1, "nor what nobody approved"


def test_plan_is_the_same_in_another_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The engine processes resources concurrently, so their order may differ."""
    changes = [Change(op=Op.CREATE, type=f"aws:kms/key:Key{n % 3}", name=f"key-{n}") for n in range(20)]
    plans = set()
    for _ in range(5):
        random.shuffle(changes)
        made = StackReview(stack="prod", provider=Provider.OWN, against=Against.NOTHING, changes=tuple(changes))
        (tmp_path / "review.json").write_text(written((made,)))
        assert command.main(["plan", str(tmp_path / "review.json")]) == 0
        plans.add(capsys.readouterr().out)
    assert len(plans) == 1


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    root.mkdir()
    (root / "Pulumi.prod.yaml").write_text(f"config:\n  x:broker:\n    ca_file: {tmp_path}/certs/prod.crt # the CA\n")
    return root


def test_repositorys_ca_is_installed_unless_the_file_exists(clone: Path) -> None:
    place = clone.parent / "certs/prod.crt"
    with pytest.raises(SetupError, match=r"commit the CA's certificate"):
        authorities.write(clone, "prod")
    (clone / ".ci/ca").mkdir(parents=True)
    (clone / ".ci/ca/prod.crt").write_text("the CA\n")
    authorities.write(clone, "prod")
    assert (place.read_text(), stat.S_IMODE(place.stat().st_mode)) == ("the CA\n", 0o644)
    place.write_text("another\n")
    assert authorities.write(clone, "prod") == f"{place} is there"
    assert place.read_text() == "another\n"


def test_preview_uses_the_present_ca_or_the_repositorys_or_a_generated_one(clone: Path) -> None:
    text = (clone / "Pulumi.prod.yaml").read_text()
    homes = [clone.parent / name for name in ("head", "base")]
    made_up = {authorities.with_its_own(text, clone, "prod", home) for home in homes}
    assert made_up == {text.replace("certs/prod.crt", "made-up-ca.crt")}, "one for both, or it would be a change"
    assert "BEGIN CERTIFICATE" in (clone.parent / "made-up-ca.crt").read_text()
    (clone / ".ci/ca").mkdir(parents=True)
    (clone / ".ci/ca/prod.crt").write_text("the CA\n")
    assert f"ca_file: {clone}/.ci/ca/prod.crt" in authorities.with_its_own(text, clone, "prod", homes[0])
    authorities.write(clone, "prod")
    assert authorities.with_its_own(text, clone, "prod", homes[0]) == text


def test_no_ca_is_generated_when_there_is_a_state(clone: Path) -> None:
    text = (clone / "Pulumi.prod.yaml").read_text()
    with pytest.raises(SetupError, match=r"commit the CA's certificate"):
        authorities.with_its_own(text, clone, "prod", clone.parent / "head", beside_a_state=True)


class Answering(previews.Clone):
    """A clone with scripted answers of Pulumi and `make`."""

    STREAM = json.dumps({"summaryEvent": {"result": "succeeded"}}) + "\n"

    def make_ready(self, *_: Any) -> None:
        if "BROKEN" in self.environment:
            raise SetupError("make setup", "  it failed", "see its log")

    def knows(self, *_: Any) -> bool:
        if "UNREAD" in self.environment:
            raise SetupError("the stacks of the chosen state", "  it can't be read", "see its log")
        return "KNOWN" in self.environment

    def preview(self, *_: Any, **__: Any) -> str:
        return self.STREAM

    def provider(self, found: Any, stack: str = "") -> Provider:
        return Provider.STANDIN if "STANDIN" in self.environment else super().provider(found, stack)

    def judged(self, *_: Any) -> tuple[int, int, tuple[Broken, ...]]:
        return 7, 0, (Broken(rule="aws-keys-rotate", name="key"),) if self.root.name == "base" else ()


def test_rule_of_the_base_that_the_pull_request_disables_fails_it_in_the_first_rows(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = clone.parent / "base"
    base.mkdir()
    (base / "Pulumi.prod.yaml").write_text((clone / "Pulumi.prod.yaml").read_text())
    monkeypatch.setattr(previews, "Clone", Answering)
    monkeypatch.setattr(previews, "checked_out", lambda *_: base)
    monkeypatch.setattr(previews, "changed_files", lambda *_: ["policies/aws/keys_rotate.py"])
    folder = clone.parent / "review"
    assert command.main(["preview", "--to", str(folder), "--base", "HEAD", "--of", str(clone), "prod"]) == 1
    (review,) = read((folder / "review.json").read_text())
    assert [one.judge for one in review.broken] == [Judge.BASE]
    assert command.main(["comment", "--base", "HEAD", str(folder / "review.json")]) == 0
    lines = capsys.readouterr().out.partition(MARK)[2].splitlines()
    assert lines[2].startswith("> **This pull request changes what judges it** (`policies/` 1)")
    assert lines[5].endswith(JUDGED[Judge.BASE])


def test_comment_needs_nothing_but_pythons_standard_library(tmp_path: Path) -> None:
    file = tmp_path / "review.json"
    broken = (Broken(rule="aws-keys-rotate", name="key"),)
    file.write_text(written((StackReview(stack="prod", provider=Provider.OWN, against=Against.BASE, broken=broken),)))
    argv = [sys.executable, "-S", "-m", "tools.review", "comment", str(file)]
    assert "aws-keys-rotate" in subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("context", [None, "plant@eu"])
def test_stack_of_a_cluster_is_rendered_with_a_kubeconfig_that_leads_nowhere(clone: Path, context: str | None) -> None:
    stack_file = "config:\n  x:server:\n    kind: kubernetes\n" + (f"    context: {context}\n" if context else "")
    (clone / "Pulumi.prod.yaml").write_text(stack_file)
    one = answering(clone, KUBECONFIG=str(clone / "none"))
    one.home.mkdir()
    environment = one._without_cluster("prod")
    assert select_context(context, environment) is not None
    reviewed = previews.review("prod", one, None)
    assert (reviewed.provider, reviewed.against) == (Provider.RENDERED, Against.NOTHING)


CHOSEN = {"PULUMI_BACKEND_URL": "s3://state"}


def answering(clone: Path, **environment: str) -> Answering:
    return Answering(root=clone, home=clone.parent / "home", environment=environment)


@pytest.mark.parametrize(
    "environment",
    [{}, {**CHOSEN, "UNREAD": ""}, {**CHOSEN, "STANDIN": ""}, {**CHOSEN, "CLUSTER": "none"}],
    ids=["no state", "a state that can't be read", "a stand-in", "no cluster"],
)
def test_plan_that_cannot_be_deployed_from_here_is_refused(clone: Path, environment: dict[str, str]) -> None:
    if "CLUSTER" in environment:
        (clone / "Pulumi.prod.yaml").write_text("config:\n  x:server:\n    kind: kubernetes\n")
    scripted = answering(clone, KUBECONFIG=str(clone / "none"), **environment)
    with pytest.raises(SetupError):
        previews.review("prod", scripted, None, deploys=True)
    assert previews.review("prod", scripted, None).failed is False, "where it is only looked at it is none"
