"""Pulumi's provider for Docker: what its build sees of its sources, and that its versions go together."""

from __future__ import annotations

import ast
import os
import re
import tomllib
from pathlib import Path

import pulumi_docker
import pytest

from tools import docker_provider
from tools.docker_provider import PLUGIN, PROVIDER, SUM
from tools.steps import SetupError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tools" / PLUGIN
GO = Path("go")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache where nothing has been built; and no Go, so that nothing can be."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", os.devnull)
    return tmp_path


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the module that Go would fetch: three files, with a sum that Go would tell of them."""
    folder = tmp_path / "module"
    package = folder / "internal/provider"
    package.mkdir(parents=True)
    (folder / "go.mod").write_text("module it\n")
    (folder / "main.go").write_text("package main\n")
    (package / "service.go").write_text("package provider\n")
    (package / "service_test.go").write_text("package provider\n")
    (package / "action.go").write_text('package provider\n\nimport "github.com/hashicorp/terraform-plugin-framework"\n')
    told = {"Dir": str(folder), "Sum": SUM}
    monkeypatch.setattr(docker_provider, "downloaded", lambda *_: told)
    return folder


def test_sources_that_are_others_than_the_pinned_are_refused(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_provider, "downloaded", lambda *_: {"Dir": str(sources), "Sum": "h1:others="})
    with pytest.raises(SetupError, match="h1:others= is not h1:"):
        docker_provider.Upstream().files(GO, FOLDER)


def test_the_label_of_the_provider_is_the_version_of_its_python_package() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (version,) = [one["version"] for one in packages if one["name"] == "pulumi-docker"]
    assert version == PROVIDER


def test_each_resource_that_the_provider_has_is_called_what_the_python_package_calls_it() -> None:
    bridged = set(re.findall(r'"docker_\w+": +"(\w+:\w+)"', (FOLDER / "main.go").read_text()))
    package = Path(pulumi_docker.__file__).parent
    known = {token for path in package.glob("[a-z]*.py") for token in _tokens(path)}
    assert known - bridged == {"image:Image"}, "which Pulumi's own provider builds without Terraform"
    assert bridged <= known


def _tokens(source: Path) -> set[str]:
    """What a module of the SDK registers: 'docker:index/service:Service'."""
    words = (node.value for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Constant))
    found = (re.fullmatch(r"docker:index/(\w+:[A-Z]\w+)", word) for word in words if isinstance(word, str))
    return {one[1] for one in found if one}
