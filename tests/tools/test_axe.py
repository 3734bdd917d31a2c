"""axe-core for the report's test: fetched once, and nothing else passes for it."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tools import axe
from tools import npm as npm_files
from tools.steps import SetupError

CONTENT = b"what npm has"


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """A clone where nothing has been fetched, and what npm is asked, which packs CONTENT."""
    asked: list[Sequence[str]] = []

    def pack(_step: str, argv: Sequence[str], **_: Any) -> str:
        asked.append(argv)
        with tarfile.open(Path(argv[-1]) / "package.tgz", "w:gz") as archive:
            member = tarfile.TarInfo(axe.FILE.member)
            member.size = len(CONTENT)
            archive.addfile(member, io.BytesIO(CONTENT))
        return ""

    monkeypatch.setattr(axe, "TOOLS", tmp_path)
    monkeypatch.setattr(axe, "FILE", replace(axe.FILE, sha256=hashlib.sha256(CONTENT).hexdigest()))
    monkeypatch.setattr(npm_files, "run_step", pack)
    monkeypatch.setattr("tools.npm.shutil.which", lambda name: f"/bin/{name}")
    return asked


def test_it_is_fetched_once_by_its_version_and_anew_where_something_else_lies_there(
    calls: list[Sequence[str]],
) -> None:
    axe.provide()
    axe.provide()
    assert len(calls) == 1 and axe.FILE.package in calls[0]
    assert axe.script().read_bytes() == CONTENT
    axe.script().write_bytes(b"something else")
    axe.provide()
    assert len(calls) == 2
    assert axe.script().read_bytes() == CONTENT


def test_another_file_than_the_pinned_one_is_refused(
    calls: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(axe, "FILE", replace(axe.FILE, sha256="0" * 64))
    with pytest.raises(SetupError, match="see what changed"):
        axe.provide()
    assert calls
    assert not axe.script().exists()


@pytest.mark.parametrize("given", ["another file", "no tar", "nothing"])
def test_what_is_no_package_with_that_file_is_refused(
    calls: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    def pack(_step: str, argv: Sequence[str], **_: Any) -> str:
        calls.append(argv)
        package = Path(argv[-1]) / "package.tgz"
        if given == "no tar":
            package.write_bytes(CONTENT)
        elif given == "another file":
            with tarfile.open(package, "w:gz") as archive:
                archive.addfile(tarfile.TarInfo("package/another"), io.BytesIO())
        return ""

    monkeypatch.setattr(npm_files, "run_step", pack)
    with pytest.raises(SetupError, match="is no package with"):
        axe.provide()
    assert not axe.script().exists()


def test_without_npm_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axe, "TOOLS", tmp_path)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SetupError, match=r"(?s)tests of the report.*install Node\.js 20 or newer"):
        axe.provide()
