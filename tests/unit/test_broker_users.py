"""The embedded broker's users file and its user commands, without a broker."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secretops.broker.commands import COMMAND_TOPIC, OUTPUT_TOPIC, Commands, parse
from secretops.broker.server import Action, is_allowed
from secretops.broker.users import USERS_FILE, Flag, User, Users, create_first_admin
from secretops.errors import StoreError
from secretops.values import Value, new_password
from tests.unit.fuzz import BOUNDED


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "broker"


@pytest.fixture
def users(home: Path) -> Users:
    assert create_first_admin(home) is not None
    return Users.load(home)


def send(users: Users, who: str, text: str) -> dict[str, Any]:
    envelope: dict[str, Any] = json.loads(Commands(users).run(who, text))
    return envelope


def test_the_first_admin_is_made_once_and_its_password_is_nowhere(home: Path) -> None:
    admin = create_first_admin(home)
    assert admin is not None
    assert create_first_admin(home) is None
    assert Users.load(home).authenticate(admin["username"], admin["password"])
    assert admin["password"] not in (home / USERS_FILE).read_text()
    assert [path.stat().st_mode & 0o777 for path in (home / USERS_FILE, home)] == [0o600, 0o700]


def test_admin_that_cannot_be_stored_is_not_created(home: Path) -> None:
    def full(_: Value) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        create_first_admin(home, save=full)
    assert not (home / USERS_FILE).exists()
    saved: list[Value] = []
    admin = create_first_admin(home, save=saved.append)
    assert saved == [admin]


def test_a_change_is_in_the_file_when_it_holds(users: Users, home: Path) -> None:
    password = new_password()
    users.add("alice", password)
    users.set_flag("alice", Flag.USER_MANAGEMENT, on=True)
    users.join("alice", "operators")
    again = Users.load(home)
    assert again.authenticate("alice", password)
    assert again.groups("alice") == ("operators",)
    found = again.get("alice")
    assert found is not None
    assert found.flags == {Flag.USER_MANAGEMENT}
    users.remove("alice")
    assert "alice" not in Users.load(home)


def test_a_change_that_cannot_be_written_does_not_hold(users: Users, home: Path) -> None:
    (home / USERS_FILE).unlink()
    (home / USERS_FILE).mkdir()  # a rename can't replace it, even for root
    with pytest.raises(StoreError):
        users.add("alice", new_password())
    assert "alice" not in users
    assert not send(users, "root", "-addUser alice secret-word")["success"]


@pytest.mark.parametrize("text", ["", "[]", '{"users": {"a": {}}}', '{"users": {}, "more": 1}'])
def test_invalid_users_file_is_reported(home: Path, text: str) -> None:
    home.mkdir()
    (home / USERS_FILE).write_text(text)
    with pytest.raises(StoreError, match="users-file-invalid"):
        Users.load(home)


def test_only_the_right_password_of_a_known_user_logs_in(users: Users) -> None:
    password = new_password()
    users.add("alice", password)
    assert users.authenticate("alice", password)
    for name, other in (("alice", new_password()), ("alice", ""), ("alice", None), ("bob", password), (None, password)):
        assert not users.authenticate(name, other)


@settings(BOUNDED, max_examples=100)
@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        command = parse(text)
    except ValueError:
        return
    assert isinstance(command.name, str)


def test_user_commands_work_as_documented(users: Users) -> None:
    assert send(users, "root", "-addUser alice first-word")["success"]
    assert send(users, "root", "--change-user-password alice second-word")["success"]
    assert not users.authenticate("alice", "first-word")
    assert users.authenticate("alice", "second-word")
    assert send(users, "root", "-addUserToGroup alice operators")["success"]
    assert send(users, "root", "-addUserToGroup alice operators")["success"]
    assert send(users, "root", "-listUserGroups alice")["data"] == {"groups": ["operators"]}
    assert send(users, "root", "-removeUserFromGroup alice operators")["success"]
    assert send(users, "root", "-listUserGroups alice")["data"] == {"groups": []}
    assert send(users, "root", "-changeUserSettings alice AllowedUserManagement true")["success"]
    assert send(users, "alice", "-addUser bob third-word")["success"]
    assert send(users, "root", "-changeUserSettings alice AllowedUserManagement false")["success"]
    assert not send(users, "alice", "-removeUser bob")["success"]
    assert send(users, "root", "-removeUser alice")["success"]
    assert "alice" not in users


@pytest.mark.parametrize("text", [
    *("-addUser bob word", "-changeUserPassword root word"),
    *("-changeUserSettings alice AllowedUserManagement true", "-addUserToGroup alice operators"),
])  # fmt: skip
@pytest.mark.parametrize("flags", [frozenset(), frozenset({Flag.SYSTEM_CONFIGURATION})])
def test_users_are_managed_by_those_who_may(users: Users, text: str, flags: frozenset[Flag]) -> None:
    users.add("alice", new_password(), flags=flags)
    name = text.split(maxsplit=1)[0]
    assert send(users, "alice", text)["message"] == f"Permission denied: You are not allowed to execute {name}"
    assert send(users, "nobody", text)["success"] is False


def test_neither_log_nor_answer_repeats_an_argument(users: Users, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    output = ""
    for text in (
        *("-addUser alice {word}", "-addUser alice {word}", "-changeUserPassword alice {word}"),
        *("-changeUserPassword nobody {word}", "-changeUserPassword alice {word} {word}"),
        *("-changeUserSettings alice {word} true", "-changeUserSettings alice AllowedUserManagement {word}"),
        '-addUser alice "{word}',
    ):
        output += json.dumps(send(users, "root", text.format(word="hunter-two")))
    assert caplog.messages
    assert "hunter-two" not in output + caplog.text


SERVER, MANAGER, SYSTEM = frozenset[Flag](), frozenset({Flag.USER_MANAGEMENT}), frozenset({Flag.SYSTEM_CONFIGURATION})
DESCRIPTIONS = "$SYS/Coreflux/Actions/+/Description"


@pytest.mark.parametrize(("action", "topic", "allowed"), [
    (Action.SUBSCRIBE, "#", (SERVER, MANAGER, SYSTEM)),
    (Action.PUBLISH, "plant/a", (SERVER, MANAGER, SYSTEM)),
    (Action.SUBSCRIBE, DESCRIPTIONS, (SERVER, MANAGER, SYSTEM)),
    (Action.PUBLISH, "$SYS/Coreflux/Actions/x/Description", ()),
    *((Action.PUBLISH, COMMAND_TOPIC, (MANAGER, SYSTEM)), (Action.SUBSCRIBE, OUTPUT_TOPIC, (MANAGER, SYSTEM))),
    *((Action.RECEIVE, OUTPUT_TOPIC, (MANAGER, SYSTEM)), (Action.PUBLISH, OUTPUT_TOPIC, ())),
    (Action.SUBSCRIBE, COMMAND_TOPIC, (SYSTEM,)),
    (Action.SUBSCRIBE, "$SYS/#", (SYSTEM,)),
    (Action.PUBLISH, "$other/a", ()),
])  # fmt: skip
def test_topics_are_open_to_whom_they_are_meant_for(
    users: Users, action: Action, topic: str, allowed: tuple[frozenset[Flag], ...]
) -> None:
    root = users.get("root")
    assert root is not None
    for flags in (SERVER, MANAGER, SYSTEM):
        assert is_allowed(User(password=root.password, flags=flags), action, topic) is (flags in allowed)
    assert not is_allowed(None, action, topic)
