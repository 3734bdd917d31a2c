"""The deployer's own Docker client: the manager's address, and a registry login."""

import hashlib
import json
from pathlib import Path

import pulumi
import pytest

from tests.unit.harness import Deployed, deploy
from tests.unit.swarm_stack import file_on_swarm, on_swarm


def test_up_without_a_manager_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    deployed = Deployed()
    with pytest.raises(pulumi.RunError, match=r"none\.sock.* \[daemon-unreachable\]"):
        deploy(file_on_swarm(), "prod", into=deployed)
    assert not deployed.resources


def test_tls_context_is_refused_with_its_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulumi's provider would connect to that port without TLS."""
    for name in ("DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONTEXT", "prod")
    (tmp_path / "config.json").write_text("{}")
    folder = tls_context(tmp_path, "prod", "tcp://manager.example.com:2376")
    with pytest.raises(pulumi.RunError, match=r"\[context-with-tls\]") as refused:
        on_swarm()
    remedy = str(refused.value).partition("export ")[2].partition("; or")[0]
    assert str(folder) in remedy
    monkeypatch.delenv("DOCKER_CONTEXT")
    for word in remedy.split():
        monkeypatch.setenv(*word.split("=", 1))
    assert on_swarm().resources["swarm"].inputs["host"] == "tcp://manager.example.com:2376"


def tls_context(config: Path, name: str, host: str) -> Path:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta, folder = config / "contexts/meta" / key, config / "contexts/tls" / key / "docker"
    meta.mkdir(parents=True)
    folder.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    for each in ("ca.pem", "cert.pem", "key.pem"):
        (folder / each).write_text("")
    return folder


def test_provider_has_the_registrys_name_and_no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_REGISTRY_USER", "DOCKER_REGISTRY_PASS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(pulumi.RunError, match="no login at"):
        on_swarm(server=", registry_login: true")
    (tmp_path / "config.json").write_text('{"auths": {"registry.example.com": {}}}')
    deployed = on_swarm(server=", registry_login: true")
    assert json.loads(deployed.resources["swarm"].inputs["registryAuth"]) == [{"address": "registry.example.com"}]
