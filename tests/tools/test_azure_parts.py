"""The parts of the tests of Azure: what is locked, what is fetched, and that nothing else passes for it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import npm
from tools.steps import SetupError

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "tools/azurite/package-lock.json"


def test_azurite_and_all_it_needs_are_locked_by_version_and_checksum_and_by_no_host() -> None:
    wanted = json.loads((ROOT / "tools/azurite/package.json").read_text())["dependencies"]
    packages = json.loads(LOCK.read_text())["packages"]
    assert packages[""]["dependencies"] == wanted
    assert packages["node_modules/azurite"]["version"] == wanted["azurite"]
    without = [name for name, package in packages.items() if name and "integrity" not in package]
    assert not without
    assert not [name for name, package in packages.items() if "resolved" in package]


@pytest.mark.parametrize("content", [b"what was read", b"something else"])
def test_a_file_of_npm_is_taken_only_with_its_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    def pack(_step: str, argv: Sequence[str], **_: object) -> str:
        with tarfile.open(Path(argv[-1]) / "package.tgz", "w:gz") as archive:
            member = tarfile.TarInfo("package/it.js")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        return ""

    monkeypatch.setattr(npm, "run_step", pack)
    sha256 = hashlib.sha256(b"what was read").hexdigest()
    file = npm.PackedFile(words="it", package="it@1.0.0", member="package/it.js", sha256=sha256)
    if content == b"what was read":
        file.fetch(tmp_path / "it.js", "npm")
        assert file.is_at(tmp_path / "it.js")
    else:
        with pytest.raises(SetupError, match="holds another"):
            file.fetch(tmp_path / "it.js", "npm")
        assert not (tmp_path / "it.js").exists()
