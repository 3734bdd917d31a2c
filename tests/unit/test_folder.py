"""The folder as a Pulumi resource: it is created, compared with the disk, repaired, and removed. Files of others
stay."""

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.dotenv.folder import FolderProvider, make
from secretops.stores import env_file

PROVIDER = FolderProvider()


def props(root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "root": str(root),
        "folders": ["config", "certs", "versions", "log"],
        "files": {"config/mcp.json": "{}\n"},
        "lines": {"MQTT_BROKER": "localhost", "MQTT_PORT": "1883"},
        "modes": {"config/.env": "600", "certs/client.key": "600"},
        **changes,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def made(root: Path) -> dict[str, Any]:
    return dict(PROVIDER.create(props(root)).outs or {})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def changes(before: dict[str, Any], now: dict[str, Any]) -> bool | None:
    return PROVIDER.diff(str(before["root"]), before, now).changes


def test_a_folder_is_made_with_the_guides_modes(root: Path, made: dict[str, Any]) -> None:
    assert [mode(root / folder) for folder in (".", "config", "certs", "versions", "log")] == [0o700] * 5
    assert mode(root / "config/.env") == 0o600
    assert mode(root / "config/mcp.json") == 0o644
    assert env_file.parse((root / "config/.env").read_text()) == {"MQTT_BROKER": "localhost", "MQTT_PORT": "1883"}
    assert made == props(root)


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_modes_do_not_depend_on_the_umask(root: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        PROVIDER.create(props(root))
    finally:
        os.umask(before)
    assert [mode(root), mode(root / "config"), mode(root / "config/mcp.json")] == [0o700, 0o700, 0o644]


def test_an_existing_folder_is_taken_over_with_what_is_in_it(root: Path) -> None:
    (root / "config").mkdir(parents=True, mode=0o755)
    (root / "config/.env").write_text("# mine\nEDITOR=vi\nMQTT_PORT=1\n")
    (root / "notes.txt").write_text("mine")
    PROVIDER.create(props(root))
    assert (root / "config/.env").read_text() == "# mine\nEDITOR=vi\nMQTT_PORT=1883\nMQTT_BROKER=localhost\n"
    assert (root / "notes.txt").read_text() == "mine"
    assert [mode(root), mode(root / "config"), mode(root / "config/.env")] == [0o700, 0o700, 0o600]


# Drift

DRIFTS: dict[str, Callable[[Path], object]] = {
    "the root may be entered": lambda root: root.chmod(0o755),
    "a folder is gone": lambda root: (root / "log").rmdir(),
    "the variables may be read": lambda root: (root / "config/.env").chmod(0o644),
    "a key may be read": lambda root: (root / "certs/client.key").chmod(0o640),
    "a public file says something else": lambda root: (root / "config/mcp.json").write_text("{} "),
    "the variables are gone": lambda root: (root / "config/.env").unlink(),
    "a line was changed": lambda root: (root / "config/.env").write_text("MQTT_BROKER=localhost\nMQTT_PORT=1884\n"),
    "everything is gone": shutil.rmtree,
    "git sees it": lambda root: (root / ".gitignore").unlink(),
}


@pytest.mark.parametrize("spoil", DRIFTS.values(), ids=DRIFTS.keys())
def test_drift_is_found_and_repaired_when(spoil: Callable[[Path], object], root: Path, made: dict[str, Any]) -> None:
    (root / "certs/client.key").touch(mode=0o600)
    assert changes(made, props(root)) is False
    spoil(root)
    assert changes(made, props(root)) is True
    PROVIDER.update(str(root), made, props(root))
    assert changes(made, props(root)) is False
    assert (root / ".gitignore").read_text() == "*\n"
    assert env_file.parse((root / "config/.env").read_text()) == {"MQTT_BROKER": "localhost", "MQTT_PORT": "1883"}


def test_only_a_root_that_moves_is_a_new_folder(root: Path, made: dict[str, Any]) -> None:
    for changed, replaced in ((props(root, files={}), []), (props(root.with_name("elsewhere")), ["root"])):
        result = PROVIDER.diff(str(root), made, changed)
        assert (result.changes, result.replaces) == (True, replaced)


# Foreign files in it

VALUES = "MQTT_USER=a\nMQTT_PASSWORD='it''s $ecret'\nSECRETOPS_VERSION_mqtt=1\n# a remark\nEDITOR=vi\n"


def lived_in(root: Path) -> dict[str, bytes]:
    with (root / "config/.env").open("a") as file:
        file.write(VALUES)
    theirs = {
        "versions/mqtt/1.json": b"{}", "versions/mqtt/state.json": b"[]", "log/access.jsonl": b"{}\n",
        "certs/client.key": b"-----", "certs/mine.txt": b"mine", "config/notes.txt": b"mine",
    }  # fmt: skip
    for path, content in theirs.items():
        (root / path).parent.mkdir(exist_ok=True, mode=0o700)
        (root / path).write_bytes(content)
        (root / path).chmod(0o600)
    return theirs


def test_an_update_leaves_others_lines_and_files_alone(root: Path, made: dict[str, Any]) -> None:
    theirs = lived_in(root)
    updated = props(root, lines={"MQTT_BROKER": "broker", "LOG_LEVEL": "INFO"}, files={"config/new.json": "[]\n"})
    result = PROVIDER.update(str(root), made, updated)
    assert result.outs == updated
    assert VALUES in (root / "config/.env").read_text()
    assert {path: (root / path).read_bytes() for path in theirs} == theirs
    present = env_file.parse((root / "config/.env").read_text())
    assert (present["MQTT_BROKER"], present["LOG_LEVEL"], "MQTT_PORT" in present) == ("broker", "INFO", False)
    assert (root / "config/new.json").read_text() == "[]\n"
    assert not (root / "config/mcp.json").exists()


def test_a_delete_removes_only_what_it_made_and_never_a_value_or_the_log(root: Path, made: dict[str, Any]) -> None:
    theirs = lived_in(root)
    PROVIDER.delete(str(root), made)
    assert {path: (root / path).read_bytes() for path in theirs} == theirs
    left = (root / "config/.env").read_text()
    assert VALUES in left
    assert not env_file.parse(left).keys() & {"MQTT_BROKER", "MQTT_PORT"}
    assert not (root / "config/mcp.json").exists()


def test_two_resources_of_one_root_come_and_go_without_each_others_lines(root: Path) -> None:
    store = props(root, files={}, lines={})
    server = props(root, folders=[], modes={}, files={"config/mcp.json": "{}\n"}, lines={"LOG_LEVEL": "INFO"})
    PROVIDER.create(store)
    PROVIDER.create(server)
    with (root / "config/.env").open("a") as file:
        file.write("MQTT_PASSWORD=x\n")
    PROVIDER.delete(str(root), server)
    assert changes(store, store) is False
    assert env_file.parse((root / "config/.env").read_text()) == {"MQTT_PASSWORD": "x"}


def refused(inputs: dict[str, Any]) -> list[str]:
    return [failure.reason for failure in PROVIDER.check({}, inputs).failures]


@pytest.mark.parametrize("where", ["store", "store/config"])
def test_a_file_in_the_way_of_a_folder_is_refused(where: str, tmp_path: Path) -> None:
    path = tmp_path / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    (reason,) = refused(props(tmp_path / "store"))
    assert f"{path} is a file" in reason
    assert path.read_text() == "mine"


@pytest.mark.parametrize("where", ["config/.env", "certs/client.key"])
def test_a_folder_in_the_way_of_a_file_is_refused(where: str, root: Path) -> None:
    (root / where).mkdir(parents=True)
    (reason,) = refused(props(root))
    assert f"{root / where} is a folder" in reason


@pytest.mark.parametrize("where", ["config", "certs", "config/.env"])
def test_planted_link_is_rejected_and_its_target_untouched(where: str, root: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o755)
    (root / where).parent.mkdir(parents=True, exist_ok=True)
    (root / ".lock").touch()
    (root / where).symlink_to(target)
    (reason,) = refused(props(root))
    assert f"{root / where} is a symbolic link" in reason
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("root", ["/", "/etc", "/home"])
def test_a_folder_of_the_machine_is_never_closed_to_the_others(root: str) -> None:
    reasons = [failure.reason for failure in FolderProvider().check({}, props(Path(root))).failures]
    assert len(reasons) == 1
    assert "a system folder" in reasons[0]


def test_folder_with_foreign_content_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    assert FolderProvider().check({}, props(tmp_path)).failures == []
    (tmp_path / "photos").mkdir()
    (failure,) = FolderProvider().check({}, props(tmp_path)).failures
    assert "contains photos, and no store" in failure.reason


def test_a_root_that_moves_without_its_values_is_refused(tmp_path: Path) -> None:
    old, new = props(tmp_path / "old"), props(tmp_path / "new")
    make(old)
    assert FolderProvider().check(old, new).failures == [], "there is no value yet"
    (tmp_path / "old" / "versions" / "mqtt").mkdir()
    (failure,) = FolderProvider().check(old, new).failures
    assert f"mv {tmp_path}" in failure.reason
    (tmp_path / "new").mkdir()
    (failure,) = FolderProvider().check(old, new).failures
    assert f"mv {tmp_path}" not in failure.reason, "mv would move the folder below the other one"
    (tmp_path / "new").rmdir()
    (tmp_path / "old").rename(tmp_path / "new")
    assert FolderProvider().check(old, new).failures == [], "moved as configured"


def store_of(root: Path, stack: str) -> dict[str, Any]:
    return props(root, stack=stack, files={"config/secretops.json": json.dumps({"stack": stack})})


def test_a_folder_of_another_stack_is_refused_with_a_root_of_its_own(root: Path) -> None:
    make(store_of(root, "dev"))
    (reason,) = refused(store_of(root, "plant"))
    assert "stack dev" in reason and "root: .coreflux-mcp-plant" in reason
    (root / "config/secretops.json").unlink()
    assert refused(store_of(root, "plant")) == [], "what the remedy says of a stack that is no more"


def test_a_stack_that_was_renamed_keeps_its_folder_under_each_new_name(root: Path) -> None:
    state = dict(PROVIDER.create(store_of(root, "dev")).outs or {})
    for name in ("plant", "factory"):
        news = store_of(root, name)
        assert PROVIDER.check(state, news).failures == []
        assert changes(state, news)
        state = dict(PROVIDER.update(str(root), state, news).outs or {})
        assert len(PROVIDER.check({}, store_of(root, "dev")).failures) == 1
