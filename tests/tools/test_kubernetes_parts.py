"""The parts of the Kubernetes tests: which there are, without building any, and that their versions go together."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from tools import kubernetes_parts
from tools.gobuild import cached_path
from tools.kubernetes_parts import KUBERNETES, PLUGIN, PROGRAMS, PROVIDER

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache where nothing has been built; and no Go, so that nothing can be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.devnull)
    return tmp_path


def test_asking_what_is_built_builds_nothing(cache: Path) -> None:
    assert kubernetes_parts.built() == {}
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_what_is_built_is_what_a_build_would_give(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Path] = {}

    def build(name: str, module: Path, package: str, ldflags: str, _lent: object = None) -> Path:
        """In place of Go: a file where the cache keeps that build."""
        path = cached_path(name, module, package, ldflags)
        path.parent.mkdir(parents=True)
        path.touch()
        made[name] = path
        return path

    monkeypatch.setattr(kubernetes_parts, "cached_binary", build)
    kubernetes_parts.build_all()
    assert set(made) == {*PROGRAMS, PLUGIN}
    assert kubernetes_parts.built() == made


def test_the_label_of_the_provider_is_the_version_of_its_python_package() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (version,) = [one["version"] for one in packages if one["name"] == "pulumi-kubernetes"]
    assert version == PROVIDER


def test_the_version_that_the_api_server_tells_is_that_of_its_modules() -> None:
    required = (ROOT / "tools/kubernetes/go.mod").read_text()
    assert f"k8s.io/kubernetes v{KUBERNETES}" in required
    staging = set(re.findall(r"=> k8s\.io/\S+ (v\S+)", required))
    assert staging == {f"v0.{KUBERNETES.partition('.')[2]}"}
