"""The runbooks of docs/operations, followed word for word in order, on one stack.

Its store is a folder, its broker a mosquitto with TLS, and its agent a server with DigitalOcean's API. The operator
also has the broker's admin elsewhere. Between two blocks, a test acts as the people of the page, and causes its events.
"""

import json
import os
import shutil
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from secretops.manifest import Manifest
from secretops.operations.broker_access import BrokerAdmin
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.real.digitalocean import DigitalOcean, digitalocean
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.stack import DEADLINE, Stack, log_in
from tests.stacks.runbook import Clone, Page, new_clone

pytestmark = [pytest.mark.real, pytest.mark.slow]

NAME = "plant"  # The pages' placeholder for a stack.
PREFIX = "coreflux-mcp-secrets"


@dataclass
class Plant:
    clone: Clone
    mosquitto: Mosquitto
    agent: DigitalOcean

    @property
    def stack(self) -> Stack:
        manifest = Manifest.model_validate_json((self.clone.store / "config/secretops.json").read_text())
        return Stack(manifest)

    @property
    def admin(self) -> str:
        return json.dumps(dict(self.mosquitto.admin))

    def new_key(self) -> str:
        return self.agent.add("by its owner").secret

    def key(self) -> str | None:
        return self.clone.variables()["DO_AGENT_API_KEY"]

    def somebody_changes(self, name: str) -> Value:
        """Set another password for the current user of a secret, as an admin. Return the previous credential."""
        stack = self.stack
        before = stack.credential(name)
        changed = Value({**before, "password": new_password()})
        secret = stack.manifest.secret(name)
        open_target(stack.manifest.broker, secret.kind).apply(self.mosquitto.admin, changed)
        assert stack.log_in(before) != "Success"
        return before

    def ends_well(self, page: Page) -> None:
        page.is_followed_to_its_end()
        self.is_well()

    def outlives_grace(self, *secrets: str) -> None:
        end, left = time.monotonic() + DEADLINE, set(secrets)
        while left := left - {each["name"] for each in self.status() if "retires this version" in str(each["notes"])}:
            assert time.monotonic() < end, left

    def is_well(self) -> None:
        assert self.stack.log_in() == "Success", "the server logs in with its credential"
        standing = {each["name"]: each["status"] for each in self.status()}
        assert standing == dict.fromkeys(("broker-admin", "mqtt", "agent-key"), "verified")
        admin = BrokerAdmin(self.stack.session()).credential()["username"]
        assert admin in self.stack.manifest.secret("broker-admin").users
        assert self.key() in {key.secret for key in self.agent.keys.values()}

    def status(self) -> list[dict[str, Any]]:
        done = self.clone.sh("secretops status --json")
        assert done.returncode == 0, done.stdout + done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)["secrets"]
        return found


def trusted(ca_file: Path) -> Path:
    known = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    bundle = ca_file.with_name("trusted.pem")
    bundle.write_text("\n".join(Path(each).read_text() for each in (known, ca_file) if each))
    return bundle


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    mosquitto = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    folder = tmp_path_factory.mktemp("clone") / PREFIX
    try:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(mosquitto.folder / "server.crt", mosquitto.folder / "server.key")
        with digitalocean(tls) as agent:
            sections = {
                "store": {"kind": "dotenv"},
                "server": {"kind": "local"},
                "broker": {
                    **{"kind": "mosquitto", "host": "localhost"},
                    **{"port": mosquitto.port, "ca_file": str(mosquitto.ca_file)},
                },
                "agent": {"kind": "external", "url": agent.url},
                "rotation": {"grace_seconds": 3},
            }
            file = json.dumps({"config": {f"{PREFIX}:{name}": section for name, section in sections.items()}})
            clone = new_clone(folder, {f"Pulumi.{NAME}.yaml": file})
            clone.environment |= {"STACK": NAME, "SSL_CERT_FILE": str(trusted(mosquitto.ca_file))}
            yield Plant(clone, mosquitto, agent)
    finally:
        mosquitto.stop()


@pytest.fixture
def running(plant: Plant) -> Plant:
    plant.is_well()
    return plant


def test_bootstrap_ends_with_a_server_that_is_ready_and_copies_without_a_value(plant: Plant) -> None:
    page = Page(plant.clone, "bootstrap.md")
    page.follow("make preview")
    assert not plant.clone.store.exists(), "a preview makes nothing"
    page.follow("make up")
    page.follow("secretops put broker-admin", stdin=plant.admin)
    page.follow("secretops rotate broker-admin")
    page.follow("secretops tick")
    page.follow("secretops put agent-key", stdin=plant.new_key())
    for words in ("stack output schedule", "stack export", "secretops doctor"):
        page.follow(words)
    plant.ends_well(page)
    assert log_in(plant.stack.manifest.broker, plant.mosquitto.admin) == "Success", "the operator's stays as it is"
    copies = "".join((plant.clone.folder / name).read_text() for name in ("state.json", "manifest.json"))
    variables = plant.clone.variables()
    assert not [name for name in ("MQTT_PASSWORD", "DO_AGENT_API_KEY") if str(variables[name]) in copies]
    index = Page(plant.clone, "README.md")
    index.follow(f"export STACK={NAME}")
    index.is_followed_to_its_end()


def test_rotation_by_hand_repairs_a_refused_user_and_goes_back_to_an_old_value(running: Plant) -> None:
    page, first = Page(running.clone, "rotation.md"), running.stack.credential()
    page.follow("secretops rotate mqtt")
    assert running.stack.credential() != first
    good = running.new_key()
    page.follow("secretops put agent-key", stdin=good)
    page.follow("secretops tick")
    running.somebody_changes("mqtt")
    assert running.clone.sh("secretops tick").returncode == 1
    page.follow("secretops status", code=3)
    page.follow("secretops rotate mqtt")
    running.is_well()
    assert running.clone.sh("secretops put agent-key", stdin=running.new_key()).returncode == 0
    page.follow("OLD=")
    assert running.key() == good
    page.follow("secretops audit --since 1h")
    running.ends_well(page)


def test_admin_that_the_broker_refuses_is_replaced_by_a_known_one_or_a_rescue_one(running: Plant) -> None:
    page = Page(running.clone, "broker-admin-lost.md")
    running.somebody_changes("broker-admin")
    assert running.clone.sh("secretops tick").returncode == 1
    page.follow("secretops put broker-admin", stdin=running.admin)
    page.follow("secretops rotate broker-admin")
    assert running.clone.sh("secretops tick").returncode == 0
    running.is_well()

    running.somebody_changes("broker-admin")
    others = running.stack.credential()
    rescue = Value({"username": "rescue", "password": new_password()})
    running.mosquitto.stop()
    page.follow("export DYNSEC=")
    running.clone.environment["DYNSEC"] = str(running.mosquitto.folder / "dynamic-security.json")
    page.follow("mosquitto_ctrl dynsec init", stdin=f"{rescue['password']}\n" * 2)
    page.follow("merged.json")
    assert running.mosquitto.start(), running.mosquitto.log_file.read_text()[-2000:]
    as_above = Page(running.clone, "broker-admin-lost.md")
    as_above.follow("secretops put broker-admin", stdin=json.dumps(dict(rescue)))
    as_above.follow("secretops rotate broker-admin")
    page.follow("rm rescue.json")
    page.follow("secretops doctor")
    running.ends_well(page)
    assert running.stack.credential() == others, "nobody else was touched"


def test_lost_state_comes_back_from_its_copy_or_the_folder_and_no_value_changes(running: Plant) -> None:
    page, before = Page(running.clone, "lost-state.md"), running.stack.credential()
    state = running.clone.folder / ".state"
    shutil.rmtree(state)
    page.follow("--manifest .coreflux-mcp/config/secretops.json")
    page.follow("pulumi stack import --file state.json")
    assert running.clone.sh("pulumi preview --expect-no-changes").returncode == 0
    shutil.rmtree(state)
    page.follow("make up")
    running.is_well()
    shutil.rmtree(state)
    page.follow("pulumi preview --import-file import.json")
    assert running.clone.sh("make up STACK=$STACK YES=1").returncode == 0
    page.follow("pulumi preview --expect-no-changes")
    running.ends_well(page)
    assert running.stack.credential() == before


def test_lost_store_is_made_again_or_comes_back_from_an_old_backup(running: Plant, tmp_path: Path) -> None:
    page, backup = Page(running.clone, "lost-store.md"), tmp_path / "backup"
    shutil.copytree(running.clone.store, backup)
    stolen = running.stack.credential(), running.stack.credential("broker-admin")
    shutil.rmtree(running.clone.store)
    page.follow("make up")
    page.follow("secretops put broker-admin", stdin=running.admin)
    page.follow("secretops put agent-key", stdin=running.new_key())
    assert running.clone.sh("secretops tick").returncode == 1, "users are there that this store does not know"
    page.follow("secretops rotate mqtt --now")
    page.follow("secretops rotate broker-admin --now")
    page.follow("secretops tick")
    running.is_well()
    assert "Success" not in [log_in(running.stack.manifest.broker, each) for each in stolen]

    shutil.rmtree(running.clone.store)
    running.clone.environment["BACKUP"] = str(backup)
    page.follow("cp -a")
    link = Page(running.clone, "broker-admin-lost.md")
    link.follow("secretops put broker-admin", stdin=running.admin)
    link.follow("secretops rotate broker-admin")
    page.follow("secretops rotate mqtt --now")
    page.follow("secretops doctor")
    running.ends_well(page)


def test_value_in_wrong_hands_is_worthless_at_the_end_of_its_page(running: Plant) -> None:
    page, known = Page(running.clone, "incident.md"), running.stack.credential()
    page.follow("secretops compromise mqtt --dry-run")
    assert running.stack.log_in(known) == "Success"
    page.follow("secretops compromise mqtt --yes")
    running.ends_well(page)
    assert running.stack.log_in(known) != "Success"


def test_known_values_are_worthless_after_an_operator_left(running: Plant) -> None:
    page, broker = Page(running.clone, "leaving.md"), running.stack.manifest.broker
    known = running.stack.credential(), running.stack.credential("broker-admin")
    page.follow("make up")
    page.follow("secretops audit --since 26w --reader 'operator:*'")
    page.follow("secretops rotate broker-admin")
    page.follow("secretops put agent-key", stdin=running.new_key())
    running.outlives_grace("broker-admin", "mqtt")
    page.follow("secretops tick")
    page.follow("secretops status")
    running.is_well()
    assert "Success" not in [log_in(broker, each) for each in known]
    for words in ("secretops purge", "pulumi stack rm", "ls -A"):
        page.follow(words)
    page.is_followed_to_its_end()
    kept = {path.relative_to(running.clone.store).parts[0] for path in running.clone.store.rglob("*") if path.is_file()}
    assert kept <= {"log", ".lock", ".lease", ".gitignore"}
