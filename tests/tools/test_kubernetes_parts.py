"""The parts of the Kubernetes tests: which there are, without building any, and that their versions go together."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from tools.kubernetes_parts import KUBERNETES, PROVIDER

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache where nothing has been built; and no Go, so that nothing can be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.devnull)
    return tmp_path


def test_the_label_of_the_provider_is_the_version_of_its_python_package() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (version,) = [one["version"] for one in packages if one["name"] == "pulumi-kubernetes"]
    assert version == PROVIDER


def test_the_version_that_the_api_server_tells_is_that_of_its_modules() -> None:
    required = (ROOT / "tools/kubernetes/go.mod").read_text()
    assert f"k8s.io/kubernetes v{KUBERNETES}" in required
    staging = set(re.findall(r"=> k8s\.io/\S+ (v\S+)", required))
    assert staging == {f"v0.{KUBERNETES.partition('.')[2]}"}
