"""`make live` on a folder, and on each platform's emulators. tests/unit/test_live.py tests it with planted faults."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from secretops.manifest import Manifest
from tests.real import azurite
from tests.real.cluster import CONTEXT, running_cluster
from tests.real.kubelet import Kubelet
from tests.real.launcher_image import load_launcher_image
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.strict_secrets_manager import strict
from tests.real.swarm import BROKER_HOST, running_swarm
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.prod import OF_CLOUDS
from tests.stacks.prod_aws import new_prod
from tests.stacks.prod_azure import new_azure
from tests.stacks.prod_vault import OPERATOR, new_vault
from tests.stacks.project import Stack
from tests.stacks.runbook import ROOT, Clone, Page, desk
from tests.stacks.staging import new_staging
from tests.stacks.swarm import docker_environment, new_swarm_stack
from tools.key_vault.management import Management
from tools.key_vault.tokens import Principal
from tools.live import broker_users
from tools.live.__main__ import execute
from tools.live.checks import GENERAL
from tools.live.run import Live, Options
from tools.live.runner import Runner
from tools.live.state import run_lock
from tools.live.throwaway import Throwaway

pytestmark = pytest.mark.real


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = desk(tmp_path / "desk", ROOT / "Pulumi.dev.yaml")
    made.environment |= {
        "PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "",
    }  # fmt: skip
    return made


def report_of(clone: Clone, stack: str) -> dict[str, list[str]]:
    """Return the checks by result, and the leftovers."""
    found = json.loads((clone.folder / f".coreflux-mcp-live/{stack}/report.json").read_text())
    assert found["leftovers"] == []
    results: dict[str, list[str]] = {"pass": [], "fail": [], "not reached": [], "accepted": []}
    for one in found["checks"]:
        results[one["result"]].append(one["check"])
    return results


def nothing_is_left(clone: Clone) -> None:
    assert sorted(path.name for path in clone.folder.glob("Pulumi.*.yaml")) == ["Pulumi.dev.yaml"]
    left = {path.name for path in (clone.folder / ".coreflux-mcp-live/dev").iterdir()}
    assert left == {"lock", "log.txt", "report.html", "report.json"}
    assert clone.sh("pulumi stack ls --json").stdout.strip() == "[]"


def test_make_live_proves_a_folder_as_its_page_says_and_leaves_nothing(clone: Clone) -> None:
    page = Page(clone, "live.md")
    output = page.follow("make live STACK=dev YES=1")
    results = report_of(clone, "dev")
    assert (results["not reached"], len(results["pass"])) == (["supplied-values-accepted"], 17)
    assert max(map(len, output.splitlines())) <= 80
    assert "nothing to clean up" in page.follow("CLEAN=1")
    page.is_followed_to_its_end()
    nothing_is_left(clone)


@pytest.mark.slow
def test_killed_run_is_cleaned_up_by_the_next_call(clone: Clone) -> None:
    command = [sys.executable, "-m", "tools.live", "dev"]
    environment = {**os.environ, **clone.environment, "YES": "1"}
    with subprocess.Popen(
        command, cwd=clone.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        assert any("first-values-published" in line for line in run.stdout)
        run.send_signal(signal.SIGKILL)
    done = clone.sh("until make live STACK=dev CLEAN=1; do sleep 0.5; done 2>&1")  # its last command may still run
    assert "cleaning up" in done.stdout, done.stdout
    report_of(clone, "dev")
    nothing_is_left(clone)


@contextmanager
def live_on(project: Path, stack: str, **chosen: Any) -> Iterator[Live]:
    copy = Throwaway(stack, project)
    with run_lock(copy.folder) as lock:
        yield Live(copy, Runner(project, copy.folder / "log.txt", lock), replace(Options(wait=600), **chosen))


# What is planted, before which step -> the checks that turn red.
PLANTED: dict[tuple[str, str], tuple[Callable[[Live], object], list[str]]] = {
    ("drift", "unchanged"): (lambda live: (live.copy.folder / "store/certs").rmdir(), ["preview-empty"]),
    ("open folder", "doctor"): (lambda live: (live.copy.folder / "store/config").chmod(0o755), ["doctor-healthy"]),
    ("no broker", "compromise"): (lambda live: live._secretops("broker", "stop"), ["old-value-refused"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("planted", PLANTED)
def test_fault_of_a_folder_turns_its_check_red(
    planted: tuple[str, str], clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in clone.environment.items():
        monkeypatch.setenv(name, text)
    plant, red = PLANTED[planted]
    with live_on(clone.folder, "dev", wait=0) as live:
        live.reach = lambda step: plant(live) and None if step == planted[1] else None
        assert execute(live) == 1
    assert report_of(clone, "dev")["fail"] == red
    nothing_is_left(clone)


@dataclass
class Place:
    """A stack of a platform, and what a run on it needs."""

    stack: Stack
    environment: dict[str, str] = field(default_factory=dict)
    # Findings of doctor that the emulator causes.
    accepted: tuple[str, ...] = ()
    chosen: dict[str, Any] = field(default_factory=dict)
    # Called once the copy is deployed.
    deployed: Callable[[Manifest], object] = lambda _manifest: None


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = start_mosquitto(tmp_path, also=(BROKER_HOST,))
    yield made
    made.stop()


def on_aws(home: Path, broker: Mosquitto, opened: ExitStack, ask: Callable[[str], Any]) -> Place:
    moto = ask("moto")
    strictly = opened.enter_context(strict(moto))
    environment = {**moto.environment, "AWS_ENDPOINT_URL_SECRETS_MANAGER": strictly.url}
    return Place(new_prod(home, broker, moto), environment, chosen={"standin": True})


def on_azure(home: Path, broker: Mosquitto, opened: ExitStack, ask: Callable[[str], Any]) -> Place:
    azure = ask("azure")
    management = Management(azure.vault)
    management.start()
    opened.callback(management.stop)
    stack = new_azure(home, broker, azure, management)
    store: Any = stack.config["store"]
    (home / "azurite").mkdir()

    def begin_storage(manifest: Manifest) -> None:
        lease = manifest.store.model_dump()["lease"]
        account, container = lease.split("/")[2].partition(".")[0], lease.split("/")[3]
        storage = opened.enter_context(azurite.running(azure, home / "azurite", account))
        storage.service(azure.principal("resource manager")).create_container(container)

    operator = azure.environment(Principal("operator", oid=store["operators"][-1]))
    return Place(stack, operator, chosen={"standin": True}, deployed=begin_storage)


def on_vault(home: Path, broker: Mosquitto, opened: ExitStack, ask: Callable[[str], Any]) -> Place:
    """Return a stack of Vault with an operator who may do anything, which doctor reports."""
    openbao = ask("openbao")
    stack = new_vault(home, "examples/Pulumi.dev-vault-local.yaml", broker, openbao)
    stack.config["server"] |= {"source": str(real_server() or SMALL_SERVER)}
    client, user, password = openbao.client(), OPERATOR.partition("/")[2], "operator-of-make-live"
    if "userpass/" not in client.sys.list_auth_methods()["data"]:
        client.sys.enable_auth_method("userpass")
    rights = openbao.policy(
        'path "*" { capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"] }'
    )
    client.auth.userpass.create_or_update_user(user, password=password, policies=[rights])
    token = openbao.client("").auth.userpass.login(user, password)["auth"]["client_token"]
    accepted, chosen = ("others' rights", "secret ids"), {"trail": str(openbao.audit_files[0])}
    return Place(stack, openbao.environment(token), accepted, chosen)


def on_kubernetes(home: Path, broker: Mosquitto, opened: ExitStack, ask: Callable[[str], Any]) -> Place:
    cluster = opened.enter_context(running_cluster(home / "cluster", controllers=True))
    stack = new_staging(home, cluster.admin, broker, context=CONTEXT)
    server = real_server() or SMALL_SERVER
    opened.enter_context(Kubelet(cluster, f"coreflux-mcp-{stack.name}-live", home / "kubelet", server=server))
    accepted = ("audit", "rotator", "others' rights", "encryption-at-rest")
    return Place(stack, {}, accepted, {"trail": str(cluster.audit_file)})


def on_swarm(home: Path, broker: Mosquitto, opened: ExitStack, ask: Callable[[str], Any]) -> Place:
    swarm = opened.enter_context(running_swarm())
    stack = new_swarm_stack(home, swarm, broker, load_launcher_image(swarm.docker))
    return Place(stack, docker_environment(swarm), ("docker", "readers", "encryption at rest"))


@pytest.fixture(params=[on_aws, on_azure, on_vault, on_kubernetes, on_swarm])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, broker: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    with ExitStack() as opened:
        made: Place = request.param(tmp_path, broker, opened, request.getfixturevalue)
        for variable in [one for one in os.environ if one.startswith(OF_CLOUDS)]:
            monkeypatch.delenv(variable)
        for variable, text in {**made.stack.environment, **made.environment}.items():
            monkeypatch.setenv(variable, text)
        yield made


@pytest.mark.slow
def test_make_live_is_green_on_the_emulators_and_leaves_nothing(place: Place, broker: Mosquitto) -> None:
    name, home = place.stack.name, place.stack.home
    project = desk(home / "desk", place.stack.configure())
    options = {"supplied": {"broker-admin": broker.admin}, "accepted": place.accepted, **place.chosen}
    with live_on(project.folder, name, **options) as live:
        live.reach = lambda step: place.deployed(live.manifest) and None if step == "first_values" else None
        live.remove_from_broker = lambda manifest, admin: broker_users.remove(
            manifest.model_copy(update={"broker": broker.broker()}), admin
        )
        code = execute(live)
    results = report_of(project, name)
    assert (code, results["fail"]) == (0, []), (project.folder / f".coreflux-mcp-live/{name}/report.json").read_text()
    assert set(GENERAL) - set(results["pass"]) <= {"supplied-values-accepted", "reads-recorded", "readers-declared"}
    assert not live.copy.file.exists() and not live.path.exists()
