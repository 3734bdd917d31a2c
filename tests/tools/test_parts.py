"""Programs that tests build or download come only from pinned sources, in compatible versions."""

import hashlib
import io
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import docker_provider, kubernetes_parts, npm
from tools.steps import ROOT, SetupError
from tools.toolchain.gobuild import cached_path


def test_version_of_the_api_server_is_that_of_its_modules() -> None:
    required = (ROOT / "tools/kubernetes/go.mod").read_text()
    assert f"k8s.io/kubernetes v{kubernetes_parts.KUBERNETES}" in required
    staging = set(re.findall(r"=> k8s\.io/\S+ (v\S+)", required))
    assert staging == {f"v0.{kubernetes_parts.KUBERNETES.partition('.')[2]}"}


def test_sources_that_are_others_than_the_pinned_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_provider, "downloaded", lambda *_: {"Dir": str(tmp_path), "Sum": "h1:others="})
    with pytest.raises(SetupError, match="h1:others= is not h1:"):
        docker_provider.Upstream().files(Path("go"), ROOT / "tools" / docker_provider.PLUGIN)


@pytest.mark.parametrize("content", [b"what was read", b"something else"])
def test_npm_file_is_taken_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
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


def test_another_lock_file_source_or_flag_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    module = tmp_path / "module"
    module.mkdir()
    names = ("go.mod", "go.sum", "main.go")
    for name in names:
        (module / name).touch()
    paths = {cached_path("hello", module, "."), cached_path("hello", module, ".", "-s")}
    for name in names:
        (module / name).write_text("\n")
        paths.add(cached_path("hello", module, "."))
    assert len(paths) == 5
