"""The parts of the tests of Azure: what is locked, what is fetched, and that nothing else passes for it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tools import azure_parts
from tools import npm as npm_files
from tools.steps import SetupError

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "tools/azurite/package-lock.json"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone where nothing has been fetched."""
    monkeypatch.setattr(azure_parts, "TOOLS", tmp_path)
    return tmp_path


@pytest.fixture
def npm(monkeypatch: pytest.MonkeyPatch) -> Npm:
    return Npm(monkeypatch)


class Npm:
    """In place of npm: makes the files that it would bring."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.described = b"{}"
        monkeypatch.setattr("tools.npm.shutil.which", lambda name: f"/bin/{name}")
        monkeypatch.setattr(azure_parts, "run_step", self)
        monkeypatch.setattr(npm_files, "run_step", self)
        ours = replace(azure_parts.DESCRIPTION, sha256=hashlib.sha256(self.described).hexdigest())
        monkeypatch.setattr(azure_parts, "DESCRIPTION", ours)

    def __call__(self, _step: str, argv: Sequence[str], **_: Any) -> str:
        self.calls.append(argv[1])
        folder = Path(argv[-1])
        if argv[1] == "ci":
            script = folder / "node_modules/azurite/dist/src/blob/main.js"
            script.parent.mkdir(parents=True)
            script.touch()
        else:
            with tarfile.open(folder / "package.tgz", "w:gz") as archive:
                member = tarfile.TarInfo(azure_parts.DESCRIPTION.member)
                member.size = len(self.described)
                archive.addfile(member, io.BytesIO(self.described))
        return ""


def test_what_is_there_is_not_fetched_again(tools: Path, npm: Npm) -> None:
    azure_parts.provide_all()
    azure_parts.provide_all()
    assert npm.calls == ["ci", "pack"]
    assert azure_parts.azurite().is_file()
    assert azure_parts.description().read_bytes() == npm.described
    assert sorted(path.name for path in tools.iterdir()) == ["azurite", "key_vault"]


def test_another_lock_installs_azurite_anew(tools: Path, npm: Npm) -> None:
    azure_parts.provide_all()
    (tools / "azurite/package-lock.json").write_text("an older one")
    azure_parts.provide_all()
    assert npm.calls == ["ci", "pack", "ci"]


def test_another_description_than_the_one_that_was_read_is_refused(tools: Path, npm: Npm) -> None:
    npm.described = b'{"paths": {}}'
    with pytest.raises(SetupError, match="see what changed"):
        azure_parts.provide_all()
    assert not azure_parts.description().exists()


def test_without_npm_the_remedy_is_told(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(SetupError, match=r"install Node\.js 20 or newer"):
        azure_parts.provide_all()


def test_azurite_and_all_it_needs_are_locked_by_version_and_checksum_and_by_no_host() -> None:
    wanted = json.loads((ROOT / "tools/azurite/package.json").read_text())["dependencies"]
    packages = json.loads(LOCK.read_text())["packages"]
    assert packages[""]["dependencies"] == wanted
    assert packages["node_modules/azurite"]["version"] == wanted["azurite"]
    without = [name for name, package in packages.items() if name and "integrity" not in package]
    assert not without
    assert not [name for name, package in packages.items() if "resolved" in package]
