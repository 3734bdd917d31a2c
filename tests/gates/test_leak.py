"""Every command of the real command line runs with canary values. They must stay where values belong."""

import base64
import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from secretops.certificates import private_pem
from secretops.errors import ExitCode
from secretops.manifest import Broker
from secretops.platforms.dotenv.delivery import DELIVERED
from secretops.values import PUBLIC_FIELDS, Value, new_password
from tests.real.cloud_stack import CloudStack
from tests.real.mosquitto import installed_mosquitto
from tests.real.ports import free_port
from tests.real.stack import DEADLINE, Stack, make_stack
from tests.unit.signing import made

pytestmark = pytest.mark.real

PLACES = ("versions/", "config/.env", "secrets/", "certs/")  # Below the store's root: where a value may be.

# secretops with every logger at DEBUG, and paho's enabled.
LOUD = """
import logging, sys
import paho.mqtt.client as mqtt
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
plain = mqtt.Client.__init__
def loud(self, *args, **kwargs):
    plain(self, *args, **kwargs)
    self.enable_logger()
mqtt.Client.__init__ = loud
from secretops.cli import main
main()
"""


def forms(text: str) -> Iterator[bytes]:
    raw = text.encode()
    yield raw
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield repr(text)[1:-1].encode()
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for safe in ("", "/", " "):
        yield urllib.parse.quote(text, safe=safe).encode()
    yield urllib.parse.quote_plus(text).encode()
    for offset in range(3):  # the text before it shifts base64; its ends mix with the neighbors
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(offset) + raw)[4:-4]


class Canaries:
    """Canary values. A message identifies a value by a name, which reveals nothing of it."""

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def make(self, name: str, ending: str = "") -> str:
        self._values[name] = f"{new_password()}{ending}"
        return self._values[name]

    def learn(self, values: Mapping[str, Mapping[str, str]]) -> None:
        for version, value in values.items():
            for field, text in value.items():
                if field not in PUBLIC_FIELDS:
                    self._values[f"{version} {field}"] = text

    def found_in(self, content: bytes) -> list[str]:
        return [name for name, text in self._values.items() if any(form[4:-4] in content for form in forms(text))]

    def names(self) -> set[str]:
        return set(self._values)


@contextmanager
def watching_processes() -> Iterator[list[bytes]]:
    seen: set[bytes] = set()
    result: list[bytes] = []
    over = threading.Event()

    def parents() -> dict[str, str]:
        found = {}
        for pid in (path.name for path in Path("/proc").iterdir() if path.name.isdigit()):
            with contextlib.suppress(OSError, IndexError):  # it has ended
                found[pid] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        return found

    def look() -> None:
        me = str(os.getpid())
        while not over.wait(0.05):
            above = parents()
            for pid in above:
                if me in _ancestors(pid, above):
                    for part in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            seen.add(Path(f"/proc/{pid}/{part}").read_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield result
    finally:
        over.set()
        thread.join()
        result.extend(seen)


def _ancestors(pid: str, parents: dict[str, str]) -> Iterator[str]:
    seen = {pid}
    while (pid := parents.get(pid, "")) and pid not in seen:
        seen.add(pid)
        yield pid


class Place(Protocol):
    def values(self) -> dict[str, dict[str, str]]:
        """Return all stored values, by version."""

    def shown(self) -> dict[str, bytes]:
        """Return the store's other data, which must not contain a value, by kind."""


@dataclass(frozen=True)
class Folder:
    root: Path

    def values(self) -> dict[str, dict[str, str]]:
        found = [path for path in self.root.glob("versions/*/*.json") if path.name not in ("state.json", DELIVERED)]
        return {f"{path.parent.name} {path.stem}": json.loads(path.read_bytes()) for path in found}

    def shown(self) -> dict[str, bytes]:
        places = tuple(f"{self.root}/{place}" for place in PLACES)
        files = [path for path in self.root.rglob("*") if path.is_file() and not str(path).startswith(places)]
        return {path.name: path.read_bytes() for path in files}


class Watch:
    """Runs commands on a stack, and records everything that others can see of them."""

    def __init__(self, stack: Stack, canaries: Canaries, place: Place) -> None:
        self.stack, self.canaries, self.place = stack, canaries, place
        self.outputs: list[tuple[str, bytes]] = []

    def run(self, *arguments: str, stdin: str = "", code: int = 0, stack: Stack | None = None) -> None:
        """Run a command, and if it fails as expected, run it again with every logger at DEBUG."""
        command = (stack or self.stack).command(*arguments)
        for argv in (command, [sys.executable, "-c", LOUD, *command[3:]]) if code else (command,):
            self._run(argv, arguments, stdin, code)

    def loud(self, *arguments: str, stdin: str = "", code: int = 0) -> None:
        argv = [sys.executable, "-c", LOUD, *self.stack.command(*arguments)[3:]]
        assert b"DEBUG" in self._run(argv, arguments, stdin, code)

    def any(self, *arguments: str, stdin: str = "") -> None:
        """Run a command with every logger at DEBUG. Any exit code of a success is accepted."""
        argv = [sys.executable, "-c", LOUD, *self.stack.command(*arguments)[3:]]
        self._run(argv, arguments, stdin, ExitCode.DONE, ExitCode.ATTENTION)

    def leaks(self, *more: Path) -> list[str]:
        shown = [*self.outputs, *self.place.shown().items(), *((path.name, path.read_bytes()) for path in more)]
        return [f"{what}: {name}" for what, text in shown for name in self.canaries.found_in(text)]

    def _run(self, argv: list[str], arguments: tuple[str, ...], stdin: str, *codes: int) -> bytes:
        done = subprocess.run(
            argv, input=stdin.encode(), capture_output=True, timeout=DEADLINE, check=False,
            env={**os.environ, **self.stack.environment},
        )  # fmt: skip
        assert done.returncode in codes, (arguments, done.returncode, done.stderr.decode()[-2000:])
        self.outputs.append((" ".join(arguments), done.stdout + done.stderr))
        self.canaries.learn(self.place.values())
        return done.stderr


def processes_leak(canaries: Canaries, seen: list[bytes]) -> list[str]:
    assert any(b"secretops" in text for text in seen), "no process was seen"
    return [f"a process: {name}" for text in seen for name in canaries.found_in(text)]


def elsewhere(stack: Stack, **changes: object) -> Stack:
    manifest = stack.manifest.model_copy(update={"broker": stack.manifest.broker.model_copy(update=changes)})
    path = stack.root.parent / f"manifest-{'-'.join(changes)}.json"
    path.write_text(manifest.model_dump_json())
    return Stack(manifest, manifest_file=path)


@pytest.fixture
def broker_logs(request: pytest.FixtureRequest) -> list[Path]:
    return [request.getfixturevalue("mosquitto").log_file] if installed_mosquitto() else []


def test_no_value_leaves_its_place_on_a_broker(
    tmp_path: Path, broker_of: Callable[[str], tuple[Broker, Value]], broker_logs: list[Path]
) -> None:
    broker, admin = broker_of("mosquitto")
    stack = make_stack(tmp_path / "store", broker)
    canaries = Canaries()
    watch = Watch(stack, canaries, Folder(stack.root))
    strange = "/+ =é\"'$${HOME}\\"
    wrong = json.dumps({"username": admin["username"], "password": canaries.make("wrong admin password", strange)})
    right = json.dumps(dict(admin))
    key = json.dumps({"api-key": canaries.make("agent key", strange.replace(" =é", "="))})
    certs = own_certificate()
    canaries.learn({"put": certs})
    down = elsewhere(stack, port=free_port())
    with watching_processes() as seen:
        watch.run("put", "broker-admin", stdin=wrong, code=1)
        watch.run("put", "broker-admin", stdin=right, code=1, stack=down)
        watch.run("put", "broker-admin", stdin=right)
        watch.run("put", "agent-key", stdin=canaries.make("with NUL", "\0"), code=2)
        watch.run("put", "agent-key", stdin="{" + canaries.make("broken JSON"), code=2)
        no_key = canaries.make("client key", "\nsecond line\n")
        watch.run("put", "client-cert", stdin=json.dumps({**certs, "client.key": no_key}), code=2)
        watch.run("put", "mqtt", stdin=json.dumps({"username": "u", "password": canaries.make("no user")}), code=1)
        watch.run("put", "agent-key", stdin=key)
        watch.run("put", "client-cert", "--json", stdin=json.dumps(certs))
        watch.run("tick")
        watch.loud("rotate", "mqtt", "--now")
        watch.run("rotate", "mqtt", "--now", code=1, stack=down)
        watch.loud("tick")
        watch.run("status", "--json")
        watch.run("purge", "--json")
    assert watch.leaks(*broker_logs) == []
    assert processes_leak(canaries, seen) == []
    kept = b"".join(path.read_bytes() for path in stack.root.rglob("*") if path.is_file())
    assert {"agent key", "put client.key"} <= set(canaries.found_in(kept)), "the finder finds nothing"
    assert "wrong admin password" not in canaries.found_in(kept)
    assert stack.log_in() == "Success"
    watch.run("purge", "--destroy", "--yes")
    left = [path for path in stack.root.rglob("*") if path.is_file() and canaries.found_in(path.read_bytes())]
    assert left == []


def own_certificate() -> dict[str, str]:
    now = datetime.now(UTC)
    ca = made("ca", ca=True, begins=now - timedelta(days=1), ends=now + timedelta(days=2))
    client = made("mcp-server", by=ca, begins=now - timedelta(days=1), ends=now + timedelta(days=2))
    return {"ca.crt": ca.pem, "client.crt": client.pem, "client.key": private_pem(client.key)}


def test_no_value_leaves_its_place_in_a_cloud(
    cloud: CloudStack, broker_of: Callable[[str], tuple[Broker, Value]], broker_logs: list[Path]
) -> None:
    """Every logger of the SDK is at DEBUG, too, since these log requests."""
    canaries = Canaries()
    watch = Watch(cloud, canaries, cloud)
    strange = "/+ =é\"'$${HOME}\\"
    wrong = {
        "username": broker_of("mosquitto")[1]["username"],
        "password": canaries.make("wrong admin password", strange),
    }
    with watching_processes() as seen:
        watch.loud("put", "broker-admin", stdin=json.dumps(wrong), code=1)
        watch.loud(
            "put", "agent-key", stdin=json.dumps({"api-key": canaries.make("agent key", strange.replace(" =é", "="))})
        )
        watch.loud("tick")
        watch.loud("rotate", "mqtt", "--now")
        watch.run("rotate", "broker-admin", "--json")
        watch.run("status", "--json")
        assert cloud.log_in() == "Success"
        kept = json.dumps(list(cloud.values().values())).encode()
        assert watch.leaks(cloud.file, *broker_logs) == []
        watch.loud("purge", "--destroy", "--yes")
    assert watch.leaks(cloud.file, *broker_logs) == []
    assert processes_leak(canaries, seen) == []
    assert "agent key" in canaries.found_in(kept), "the finder finds nothing"
    assert "wrong admin password" not in canaries.found_in(kept)
    assert canaries.found_in(json.dumps(list(cloud.values().values())).encode()) == []
