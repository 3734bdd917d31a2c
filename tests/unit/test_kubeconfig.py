"""Reading a kubeconfig, and errors of a broken one."""

import functools
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightkube.resources.core_v1 import Secret

from secretops.errors import UsageError
from secretops.platforms.kubernetes import kubeconfig
from secretops.platforms.kubernetes.api import Api
from secretops.platforms.kubernetes.connection import connect
from secretops.platforms.kubernetes.kubeconfig import SelectedContext, select_context
from secretops.values import new_password
from tests.real.control_plane import kubeconfig as kubeconfig_of
from tests.real.control_plane import make_keys


def read(folder: Path, server: str, *, names: tuple[Any, ...] = ("test",), token: str = "") -> SelectedContext | None:
    """Write a kubeconfig whose cluster is `server`, and return its current context."""
    path = folder / "kubeconfig"
    context = {"cluster": "test", "user": "test"}
    content = {
        "current-context": "test",
        "contexts": [{"name": name, "context": context} for name in names],
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(json.dumps(content))
    return select_context(None, {"KUBECONFIG": str(path)})


def test_a_login_in_a_servers_address_is_not_repeated(tmp_path: Path) -> None:
    value = secrets.token_urlsafe(24)
    login = f"admin:{value}"
    with pytest.raises(UsageError, match=r"\[kubeconfig-server-insecure\]") as error:
        read(tmp_path, f"http://{login}@k8s.example.com/?key={value}")
    assert value not in str(error.value)


def test_a_context_that_is_shown_shows_no_token(tmp_path: Path) -> None:
    value = secrets.token_urlsafe(24)
    found = read(tmp_path, "https://k8s.example.com", token=value)
    assert found and found.user["token"] == value
    assert value not in repr(found)


def test_contexts_whose_names_yaml_takes_for_numbers_are_listed_with_the_others(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[kubeconfig-context-unknown\]") as error:
        read(tmp_path, "https://k8s.example.com", names=("c", 1))
    assert "one of 1, c" in str(error.value)


@pytest.fixture
def admin(tmp_path: Path) -> Path:
    make_keys(tmp_path)
    return kubeconfig_of(tmp_path, 1, "admin", groups=("system:masters",))


def plugin(command: str, hint: str = "") -> Callable[[dict[str, Any]], object]:
    login = {"apiVersion": "v1", "command": command, "installHint": hint}
    return lambda c: c["users"][0].update(user={"exec": login})


ANY = "insecure-skip-tls-verify"
BROKEN: list[tuple[str, Callable[[dict[str, Any]], object], str]] = [
    (
        "no such context",
        lambda c: c.update({"current-context": "gone"}),
        r"\[kubeconfig-context-unknown\][\s\S]*one of test",
    ),
    ("no current context", lambda c: c.pop("current-context"), r"\[kubeconfig-context-unknown\][\s\S]*one of test"),
    (
        "no such user",
        lambda c: c["contexts"][0]["context"].update(user="gone"),
        r"user gone.*\[kubeconfig-entry-missing\]",
    ),
    (
        "no such cluster",
        lambda c: c["contexts"][0]["context"].update(cluster="gone"),
        r"cluster gone.*\[kubeconfig-entry-missing\]",
    ),
    ("no list", lambda c: c.update(users="none"), r"\[kubeconfig-invalid\]"),
    ("no PEM", lambda c: c["users"][0]["user"].update({"client-key-data": "bm8="}), r"\[kubeconfig-invalid\]"),
    ("no base64", lambda c: c["users"][0]["user"].update({"client-key-data": "n"}), r"\[kubeconfig-invalid\]"),
    (
        "no such file",
        lambda c: c["clusters"][0]["cluster"].update({"certificate-authority": "gone"}),
        r"\[kubeconfig-invalid\]",
    ),
    (
        "in the clear",
        lambda c: c["clusters"][0]["cluster"].update(server="http://10.0.0.1"),
        r"\[kubeconfig-server-insecure\]",
    ),
    ("to anybody", lambda c: c["clusters"][0]["cluster"].update({"server": "https://10.0.0.1", ANY: True}), ANY),
    (
        "as somebody else",
        lambda c: c["users"][0]["user"].update({"as": "root"}),
        r"sets as \[kubeconfig-key-unsupported\]",
    ),
    ("a plugin that is not there", plugin("gone-plugin"), r"gone-plugin.*\[kubeconfig-plugin-failed\]"),
    ("a plugin that fails", plugin("false", "log in there"), r"\[kubeconfig-plugin-failed\][\s\S]*-> log in there"),
    ("a plugin that says nothing", plugin("true"), r"\[kubeconfig-plugin-failed\]"),
]


@pytest.mark.parametrize(("change", "pattern"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_kubeconfig_is_reported(
    admin: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], pattern: str
) -> None:
    content = json.loads(admin.read_text())
    key = content["users"][0]["user"]["client-key-data"]
    change(content)
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=pattern) as caught:
        connect(None, {"KUBECONFIG": str(path)})
    assert key not in str(caught.value)


def test_invalid_kubeconfig_is_reported_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    for text in ("password: [hush-hush", "hush-hush", "clusters: [hush-hush]"):
        path.write_text(text)
        with pytest.raises(UsageError) as caught:
            connect(None, {"KUBECONFIG": str(path)})
        assert str(path) in str(caught.value)
        assert "hush" not in str(caught.value)
    with pytest.raises(UsageError, match=r"\[kubeconfig-missing\]"):
        connect(None, {"KUBECONFIG": str(tmp_path / "none")})


def test_files_are_merged_as_kubectl_does_and_the_stacks_context_is_taken(admin: Path, tmp_path: Path) -> None:
    """The context and its user are in two files; the first file that defines a name wins; a path is relative to its
    file."""
    whole = json.loads(admin.read_text())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "ca.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    first = {"contexts": whole["contexts"], "users": [{"name": "other", "user": {}}], "current-context": "nowhere"}
    where = {"server": "https://k8s.example", "certificate-authority": "ca.crt"}
    second = {"clusters": [{"name": "test", "cluster": where}], "users": whole["users"], "current-context": "test"}
    third = {"clusters": [{"name": "test", "cluster": {"server": "https://10.0.0.1"}}]}
    files = {"a": first, "b/c": second, "d": third}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    named = ":".join(str(tmp_path / name) for name in ("missing", *files))
    assert connect("test", {"KUBECONFIG": named}).server == "https://k8s.example"
    with pytest.raises(UsageError, match=r"\[kubeconfig-context-unknown\]"):
        connect(None, {"KUBECONFIG": named})


def test_an_exec_plugin_of_the_present_api_logs_in(
    admin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lightkube itself does not run the plugin."""
    plugin, content = tmp_path / "plugin.py", json.loads(admin.read_text())
    plugin.write_text(
        "import json, os, sys\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert info['kind'] == 'ExecCredential' and os.environ['HINT'] == 'yes' and sys.argv[1:] == ['login']\n"
        "status = {'token': 'of-the-plugin'}\n"
        "print(json.dumps({'apiVersion': info['apiVersion'], 'kind': 'ExecCredential', 'status': status}))\n"
    )
    content["users"][0]["user"] = {"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "./python", "args": [str(plugin), "login"],
        "env": [{"name": "HINT", "value": "yes"}], "interactiveMode": "Never",
    }}  # fmt: skip
    admin.write_text(json.dumps(content))
    (admin.parent / "python").symlink_to(sys.executable)  # as with kubectl, relative to the kubeconfig
    monkeypatch.chdir(admin.parent)
    connection = connect(None, {"KUBECONFIG": admin.name})
    monkeypatch.chdir("/")
    assert connect(None, {"KUBECONFIG": str(admin)}).by_plugin
    user = connection.client.config.user
    assert user
    assert user.token == "of-the-plugin"  # nosec B105


def test_pod_uses_its_account_without_kubeconfig(admin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"token": new_password(), "namespace": "plant", "ca.crt": (tmp_path / "ca.crt").read_text()}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(kubeconfig, "SERVICE_ACCOUNT", str(tmp_path))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    in_a_pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    found = connect("the-operators", in_a_pod)
    assert found.server == "https://10.96.0.1:443"
    assert found.identity == "this pod's service account"
    with pytest.raises(UsageError, match=r"\[kubeconfig-context-unknown\]"):
        connect("the-operators", {**in_a_pod, "KUBECONFIG": str(admin)})
    (tmp_path / "token").unlink()
    with pytest.raises(UsageError, match="this pod's service account"):
        connect(None, in_a_pod)


def test_missing_token_file_of_a_kubeconfig_is_a_usage_error(admin: Path) -> None:
    content = json.loads(admin.read_text())
    content["users"][0]["user"] = {"tokenFile": "gone"}
    admin.write_text(json.dumps(content))
    environment = {"KUBECONFIG": str(admin)}
    with pytest.raises(UsageError, match=r"\[kubeconfig-token-unreadable\]"):
        Api("plant", open_connection=functools.partial(connect, environment=environment)).get(Secret, "versions")
