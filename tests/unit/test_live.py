"""`make live` on fake accounts. Each planted fault turns one check red, and a killed run is cleaned up."""

import json
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.settings.stack_file import document
from secretops.errors import UnreachableError, UsageError
from secretops.manifest import Broker, Manifest
from secretops.operations.session import Session
from secretops.values import Value
from tests.unit.broken_stack_files import CANARY
from tests.unit.harness import ca_file
from tests.unit.policy_plans import broken, events, own, text_of
from tools.live import broker_users
from tools.live.__main__ import execute
from tools.live.checks import CLAIMS, GENERAL, ByHand, all_checks
from tools.live.run import Live, Options
from tools.live.runner import Done, Runner
from tools.live.throwaway import Throwaway
from tools.reliability_page import render

VAULT = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/plant/providers/x/vaults/kv"
GROUP, INSTANCE = "/coreflux-mcp/prod-live/trail", "coreflux-mcp-prod-swarm"
TYPES = {"azure-native:keyvault:Vault": VAULT, "azure-native:app:Job": f"{VAULT}-job",
         "aws:cloudwatch/logGroup:LogGroup": GROUP, "kubernetes:core/v1:Namespace": "mine"}  # fmt: skip
# What `pulumi destroy` leaves, by the client that lists it; and what belongs to others.
RESIDUE = {"aws": {GROUP}, "az": {"kv"}, "kubectl": {"namespace/mine"}, "docker": {f"{INSTANCE}_job"}}
FOREIGN = {"aws": {f"{GROUP}-eu", "/coreflux-mcp-prod-live"}, "az": {"kv-eu"}, "kubectl": {"namespace/mine-eu"},
           "docker": {f"{INSTANCE}-eu_job", "web"}}  # fmt: skip
# The place of the copy, without which a client lists what is elsewhere.
PLACE = {"aws": "--region=eu-central-1", "az": f"--subscription={VAULT.split('/')[2]}"}
# A value that JSON escapes.
KEY = f'{CANARY}\n"quoted", the end of the key'
SHOWN = {
    "aws cloudwatch": "Successfully executed action arn:aws:sns:eu-central-1:123456789012:alerts",
    "az rest": '{"status": "Succeeded", "monitorCondition": "Fired"}',
}
DOCTOR = ("rotators' rights", "readers' rights", "your rights", "audit", "server", "rotator", "login mqtt")

CLIENTS = {"staging": ("kubectl",), "prod": ("aws",), "prod-azure": ("az",), "prod-swarm": ("docker",),
           "prod-vault-kubernetes": ("kubectl",)}  # fmt: skip

Play = Callable[[], Done]
Fault = Callable[[Play], Done]


class KilledError(BaseException):
    """The simulated end of the process. No clean-up runs after it."""


def fails(_play: Play) -> Done:
    return Done(1, err="AccessDenied for arn:aws:iam::123456789012:role/deployer")


def edited(pattern: str, to: str) -> Fault:
    def change(play: Play) -> Done:
        done = play()
        return replace(done, out=re.sub(pattern, to, done.out))

    return change


@cache
def previewed(stack: str) -> str:
    return "\n".join(events(own(stack)))


def selects(line: str, name: str) -> bool:
    """Return whether a command's --filter, --query, pattern or argument selects the object `name`."""
    if label := re.search(r"filter label=coreflux-mcp-secrets.instance=(\S*)", line):
        return name.startswith(f"{label[1]}_")
    if part := re.search(r"(?:filter name=|pattern )(\S*)", line):
        return part[1] in name
    return name in {*re.findall(r"(?<=name==')[^']+", line, re.IGNORECASE), *line.replace("space ", "space/").split()}


@dataclass
class Account:
    """Fakes the commands of a run, and records what they create and leave."""

    stack: str
    faults: dict[str, Fault] = field(default_factory=dict)
    exists: bool = False
    deployed: bool = False
    stored: bool = False
    users: bool = False
    rotations: int = 0
    killed_at: str = ""
    interrupt: BaseException | None = None
    selected: str = "mine"
    ran: list[str] = field(default_factory=list)
    objects: dict[str, set[str]] = field(default_factory=lambda: {one: set(names) for one, names in FOREIGN.items()})

    @property
    def is_empty(self) -> bool:
        return not (self.exists or self.deployed or self.stored or self.users) and self.objects == FOREIGN

    def reach(self, step: str) -> None:
        if self.killed_at in (step, "dead"):
            self.killed_at = "" if self.interrupt else "dead"
            raise self.interrupt or KilledError

    def __call__(self, *argv: str, stdin: str = "", quiet: bool = False) -> Done:  # noqa: ARG002
        self.reach("any command")
        assert quiet is ("--show-secrets" in argv), "the log would have the decrypted state"
        line = " ".join(argv)
        self.ran.append(line)
        fault = next((fault for pattern, fault in self.faults.items() if re.search(pattern, line)), None)
        return fault(lambda: self.play(argv)) if fault else self.play(argv)

    def remove_users(self, manifest: Manifest, admin: Value | None) -> tuple[str, dict[str, str]]:
        if "removal" in self.faults or not admin:
            return "no answer", {user: f"deleteClient {user}" for one in manifest.secrets for user in one.users}
        if "certified" in self.stack and not self.stored:
            return "no certificate", {}
        self.users = False
        return "", {}

    def play(self, argv: tuple[str, ...]) -> Done:
        program, command, *words = argv
        if program == "secretops":
            return Done(0, self.secretops(" ".join(argv[1:3])))
        if program == "pulumi":
            return self.pulumi(list(argv[1:3]))
        if command != "rest" and program in PLACE and PLACE[program] not in argv:
            return Done(0)
        if shown := SHOWN.get(f"{program} {command}"):
            return Done(0, shown)
        if {"rm", "delete-log-group", "purge", "delete"} & {*argv}:
            self.objects[program] -= {word.partition("=")[2] or word for word in words} | {words[0]}
        elif {"ls", "describe-log-groups", "list-deleted", "get"} & {*argv}:
            return Done(0, "\n".join(name for name in self.objects[program] if selects(" ".join(argv), name)))
        return Done(0)

    def pulumi(self, words: list[str]) -> Done:
        match words:
            case ["stack", "init"]:
                code, self.exists = 255 if self.exists else 0, True
                return Done(code, err="error: stack already exists")
            case ["preview", "--json"]:
                return Done(0, previewed(self.stack))
            case ["up", _]:
                self.deployed = True
            case ["stack", "output"]:
                return Done(0, json.dumps(own(self.stack).outputs["secretops"])) if self.deployed else Done(1)
            case ["stack", "ls"]:
                names = ["mine", *([f"{self.stack}-live"] if self.exists else [])]
                return Done(0, json.dumps([{"name": f"org/{one}", "current": one == self.selected} for one in names]))
            case ["stack", "export"]:
                found = [{"type": kind, "id": one} for kind, one in TYPES.items()] if self.deployed else []
                return Done(0, json.dumps({"deployment": {"resources": found}})) if self.exists else Done(1)
            case ["destroy", _]:
                left = {kind: RESIDUE[kind] for kind in CLIENTS.get(self.stack, ()) if self.deployed}
                self.objects = {kind: names | left.get(kind, set()) for kind, names in self.objects.items()}
                self.deployed = False
            case ["stack", "rm"]:
                self.exists, self.selected = False, ""
            case ["stack", "select"]:
                self.selected = "mine"
        return Done(0)

    def secretops(self, command: str) -> str:
        version = {"id": f"v{self.rotations}", "user": f"user-{self.rotations % 2}"}
        match command.split():
            case ["tick", _]:
                self.stored = self.users = True
            case ["rotate", "mqtt"]:
                self.rotations += 1
            case ["status", _]:
                on = [{"version": version["id"]}] * 2
                rows = [{"name": name, "status": "verified", "current": version, "replicas": on}
                        for name in ("mqtt", "broker-admin")]  # fmt: skip
                return json.dumps({"secrets": rows})
            case ["doctor", _]:
                return json.dumps(
                    {"checks": [{"check": one, "level": "ok", "value": "as it must be"} for one in DOCTOR]}
                )
            case ["audit", _]:
                return json.dumps({"reader": "role/coreflux-mcp@tick", "value_returned": True, "declared": True})
            case ["compromise", _]:
                return json.dumps({"done": ["proof"], "ended": "now"}, indent=2)
            case ["purge", _]:
                self.stored = False
                self.users = self.users and self.stack != "dev"  # whose broker goes with the values
                return json.dumps({"versions": {}})
        return ""


def new_live(folder: Path, account: Account, **chosen: object) -> Live:
    stack = account.stack
    text = text_of(stack).replace("/etc/ssl/certs/ca.crt", str(ca_file(folder)))
    (folder / f"Pulumi.{stack}.yaml").write_text(text)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    values = {name: Value({"password": KEY}) for name in ("broker-admin", "agent-key", "http-token")}
    options = Options(supplied=values, trail="" if stack in ("dev", "prod", "prod-azure") else "log")
    options = replace(options, **chosen)  # type: ignore[arg-type]
    live = Live(Throwaway(stack, folder), account, options, sleep=sleep, clock=lambda: now[0], reach=account.reach)
    live.remove_from_broker = account.remove_users
    return live


def results(live: Live, result: str) -> list[str]:
    report = json.loads((live.copy.folder / "report.json").read_text())
    return [one["check"] for one in report["checks"] if one["result"] == result]


STACKS = ("dev", "staging", "staging-certified", "prod", "prod-azure", "prod-swarm", "prod-vault-kubernetes")


@pytest.mark.parametrize("stack", STACKS)
def test_every_check_passes_in_a_healthy_account_but_those_by_hand(stack: str, tmp_path: Path) -> None:
    account = Account(stack)
    live = new_live(tmp_path, account)
    assert execute(live) == 0
    by_hand = {claim.name for claim in CLAIMS for one in claim.evidence if isinstance(one, ByHand)}
    assert set(results(live, "not reached")) <= by_hand
    assert len(results(live, "pass")) + len(results(live, "not reached")) == len(all_checks(live.copy.kinds))
    assert account.is_empty and not live.copy.file.exists() and not live.path.exists() and account.selected == "mine"


def one_more(**what: object) -> Fault:
    def change(play: Play) -> Done:
        done = play()
        return replace(done, out=json.dumps({"deployment": json.loads(done.out)["deployment"] | what}))

    return change


PENDING = one_more(pending_operations=[{"type": "creating", "resource": {"urn": "urn::key"}}])


def torn(_play: Play) -> Done:
    return Done(0, "\n".join(events(broken(own("staging"), "", ("secretops", "broker", "tls"), False))))


REMAINS = "agent-key: key 1 of agent a is still valid"
# What is planted -> stack, the command that is changed, how, and the check that turns red.
FAULTS: dict[str, tuple[str, str, Fault, str]] = {
    "the provider refuses": ("prod", "preview --json", fails, "preview-accepted"),
    "a policy is broken": ("staging", "preview --json", torn, "policies-kept"),
    "a role is missing": ("prod", "pulumi up", fails, "stack-deployed"),
    "no manifest": ("prod", "stack output", fails, "stack-deployed"),
    "no broker": ("dev", "broker start", fails, "first-values-published"),
    "the tick fails": ("prod", "secretops tick", fails, "first-values-published"),
    "nobody logs in": ("prod", "status", edited("verified", "waiting"), "first-values-published"),
    "a refused key": ("prod", "put agent-key", fails, "supplied-values-accepted"),
    "a refused rotation": ("prod", "rotate mqtt", fails, "rotations-published"),
    "the same version": ("dev", "rotate mqtt", lambda _: Done(0), "rotations-published"),
    "a lease for ever": ("prod", "rotate mqtt", lambda _: Done(4), "rotations-published"),
    "an unreadable resource": ("prod", "pulumi refresh", fails, "refresh-succeeds"),
    "drift": ("prod", "preview --diff", fails, "preview-empty"),
    "a value in the state": ("prod", "export --show", lambda _: Done(0, json.dumps(KEY)), "state-without-values"),
    "an unreadable state": ("prod", "export --show", fails, "state-without-values"),
    "no job": ("prod-azure", "stack export", edited("app:Job", "app:Other"), "azure-job-runs"),
    "no state and no destroy": ("prod", "pulumi destroy|stack export --stack", fails, "stack-destroyed"),
    "a finding": ("prod", "doctor", edited('"ok"', '"attention"'), "doctor-healthy"),
    "doctor can't look": ("prod-azure", "doctor", fails, "doctor-healthy"),
    "audit is silent": ("prod", "audit", lambda _: Done(0), "reads-recorded"),
    "an undeclared reader": ("prod-azure", "audit", edited('ed": true}', 'ed": false}'), "readers-declared"),
    "the old value works": ("prod", "compromise", edited("proof", "replace"), "old-value-refused"),
    "no end": ("prod", "compromise", edited('"now"', "null"), "compromise-completes"),
    "an alarm is unheard": ("prod", "describe-alarm", lambda _: Done(0, "None"), "aws-alarm-fires"),
    "no schedule": ("prod", "audit", edited("@tick", "@operator"), "aws-schedule-runs"),
    "a task is behind": ("prod", "status", edited(r'\{"version": "v3"\}\]', '{"version": "v2"}]'), "ecs-task-starts"),
    "no task": ("prod", "status", edited(r'"replicas": \[.*?\]', '"replicas": null'), "ecs-task-starts"),
    "the job never runs": ("prod-azure", "executions", lambda _: Done(0, "{}"), "azure-job-runs"),
    "an alert is unheard": ("prod-azure", "AlertsM", lambda _: Done(0, "{}"), "azure-alert-fires"),
    "the pods don't follow": ("staging", "status", edited('"v3"}', '"v2"}'), "kubernetes-pods-follow"),
    "values stay": ("prod", "purge --json", edited(r"\{\}", '{"mqtt": [1]}'), "values-purged"),
    "a key stays": ("prod", "purge --destroy", edited(r"\}$", f', "remaining": ["{REMAINS}"]}}'), "values-purged"),
    "no right to purge": ("prod", "purge --destroy", fails, "values-purged"),
    "resources stay": ("prod", "pulumi destroy", fails, "stack-destroyed"),
    "users stay": ("prod", "removal", fails, "broker-users-removed"),
    "a log group stays": ("prod", "delete-log-group", fails, "nothing-left"),
    "no right to list": ("prod", "describe-log-groups", fails, "nothing-left"),
    "a deleted vault stays": ("prod-azure", "keyvault purge", fails, "nothing-left"),
    "a secret of the Swarm": ("prod-swarm", "docker .* rm", fails, "nothing-left"),
    "half a resource": ("prod", "stack export", PENDING, "nothing-left"),
    "the stack stays": ("dev", "stack rm", fails, "nothing-left"),
}  # fmt: skip


@pytest.mark.parametrize("planted", FAULTS)
def test_planted_fault_turns_its_check_red_alone_and_the_rest_is_removed(planted: str, tmp_path: Path) -> None:
    stack, pattern, fault, red = FAULTS[planted]
    account = Account(stack, {pattern: fault})
    live = new_live(tmp_path, account)
    assert execute(live) == 1
    assert results(live, "fail") == [red]
    left = json.loads((live.copy.folder / "report.json").read_text())["leftovers"]
    assert bool(left) is (red in ("values-purged", "stack-destroyed", "broker-users-removed", "nothing-left"))
    assert all(one["command"] for one in left)
    account.faults.clear()
    if left:
        execute(new_live(tmp_path, account), clean=True)
    assert account.is_empty and not live.path.exists()


STEPS = [*(step.__name__ for step in Live._steps(Live)), "purge", "destroy", "remove_users", "remove_rest"]  # type: ignore[arg-type]


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("stack", ["dev", "prod-swarm"])
def test_run_killed_at_a_step_is_cleaned_up_by_the_next_call(
    stack: str, step: str, clean: bool, tmp_path: Path
) -> None:
    account = Account(stack, killed_at=step)
    with pytest.raises(KilledError):
        execute(new_live(tmp_path, account))
    account.killed_at = ""
    live = new_live(tmp_path, account)
    assert execute(live, clean=clean) == 0
    assert account.is_empty and not live.copy.file.exists() and not live.path.exists() and account.selected == "mine"
    if not clean:
        assert "compromise-completes" in results(live, "pass"), "it goes on where it was killed"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit()])
@pytest.mark.parametrize("step", STEPS)
def test_interrupted_run_is_forgotten_only_once_its_clean_up_has_ended(
    step: str, interrupt: BaseException, tmp_path: Path
) -> None:
    account = Account("dev", killed_at=step, interrupt=interrupt)
    live = new_live(tmp_path, account)
    assert execute(live) in (130, 143)
    if step in STEPS[-4:]:
        commands = [one["command"] for one in json.loads((live.copy.folder / "report.json").read_text())["leftovers"]]
        assert commands[-1] == "make live STACK=dev CLEAN=1"
        execute(new_live(tmp_path, account), clean=True)
    assert account.is_empty and not live.copy.file.exists() and not live.path.exists() and account.selected == "mine"


@pytest.mark.parametrize(
    ("found", "code"),
    [("file", "live-name-taken"), ("state", "live-name-taken"), ("unlisted", "live-stacks-unknown"), ("later", "")],
)
def test_stack_of_the_users_with_the_copys_name_is_left_alone(found: str, code: str, tmp_path: Path) -> None:
    listed: dict[str, Fault] = {"unlisted": fails, "later": lambda _: Done(0, "[]")}
    account = Account("dev", {"stack ls": listed[found]} if found in listed else {}, found != "file", deployed=True)
    live = new_live(tmp_path, account)
    if found == "file":
        live.copy.file.write_text("config: {}")
    if code:
        with pytest.raises(UsageError, match=code):
            execute(live)
    else:
        assert execute(live) == 1 and results(live, "fail") == ["preview-accepted"]
    assert account.deployed and live.copy.file.exists() is (found == "file")
    assert account.exists or found == "file"


@pytest.mark.parametrize(
    ("count", "is_used"), [({"resourceCount": 7}, True), ({"resourceCount": 0}, False), ({}, False)]
)
def test_subnet_of_a_deployed_stack_is_not_used_by_its_copy(
    count: dict[str, int], is_used: bool, tmp_path: Path
) -> None:
    listed = json.dumps([{"name": "org/prod-azure", **count}])
    live = new_live(tmp_path, Account("prod-azure", {"stack ls": lambda _: Done(0, listed)}))
    file = tmp_path / "Pulumi.prod-azure.yaml"
    file.write_text(file.read_text().replace("open_to_internet:", "subnet: a-subnet, open_to_internet:"))
    with pytest.raises(UsageError, match="live-subnet-taken") if is_used else nullcontext():
        live.refuse_name_in_use()


def test_run_of_a_stand_in_does_not_continue_in_the_account(tmp_path: Path) -> None:
    account = Account("prod", killed_at="rotate")
    with pytest.raises(KilledError):
        execute(new_live(tmp_path, account, standin=True))
    account.killed_at, account.ran = "", []
    with pytest.raises(UsageError, match="live-mode-differs"):
        execute(new_live(tmp_path, account), clean=True)
    assert not account.ran


def test_stack_file_is_read_as_the_engine_reads_it(tmp_path: Path) -> None:
    live = new_live(tmp_path, Account("dev"))
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text(f"{path.read_text()}\n  other:at: 1:30\n")
    live.copy.write()
    assert document(live.copy.file.read_text())["config"]["other:at"] == "1:30"


@pytest.mark.real
def test_command_gets_no_signal_of_the_terminal_and_a_quiet_one_logs_no_output(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        run = Runner(tmp_path, tmp_path / "log.txt", lock.fileno())
        done = run("python", "-c", "import os; print('sid', os.getsid(0))", quiet=True)
    assert done.out.startswith("sid ") and done.out != f"sid {os.getsid(0)}\n"
    assert done.out not in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("answer", [UsageError("no", code="confirmation-missing"), KeyboardInterrupt()])
@pytest.mark.parametrize("stack", ["dev", "prod", "prod-swarm"])
def test_unconfirmed_run_deploys_nothing_and_leaves_no_state_and_the_last_report(
    stack: str, answer: BaseException, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(cost: str, _name: str) -> None:
        assert "USD" in cost or stack != "prod"
        raise answer

    account = Account(stack)
    live = new_live(tmp_path, account, confirm=refuse)
    report = live.copy.folder / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text("of the last run")
    if isinstance(answer, UsageError):
        with pytest.raises(UsageError, match="confirmation-missing"):
            execute(live)
    else:
        assert execute(live) == 130
    assert account.is_empty and not any(line.startswith("pulumi up") for line in account.ran)
    assert not live.path.exists() and not live.copy.file.exists()
    assert report.read_text() == "of the last run"
    passed = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("pass ")]
    assert passed == ["preview-accepted", "policies-kept"], "nothing was removed"
    assert execute(new_live(tmp_path, account)) == 0
    assert "stack-deployed" in results(live, "pass"), "the next run does not continue it"


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("step", ["deploy", "rotate"])
def test_next_call_of_a_run_cut_short_is_green_only_if_a_clean_up_was_asked(
    step: str, clean: bool, tmp_path: Path
) -> None:
    def kill(_play: Play) -> Done:
        raise KilledError

    account = Account("dev", {"pulumi destroy": kill}, killed_at=step, interrupt=KeyboardInterrupt())
    with pytest.raises(KilledError):
        execute(new_live(tmp_path, account))
    account.faults.clear()
    live = new_live(tmp_path, account)
    assert execute(live, clean=clean) == (0 if clean else 1)
    assert account.is_empty and not live.path.exists() and not results(live, "fail")
    assert execute(new_live(tmp_path, account)) == 0
    assert "stack-deployed" in results(live, "pass")


def test_leftover_of_an_unconfirmed_run_is_reported(tmp_path: Path) -> None:
    def refuse(_cost: str, _name: str) -> None:
        raise UsageError("no", code="confirmation-missing")

    account = Account("dev", {"stack rm": fails})
    live = new_live(tmp_path, account, confirm=refuse)
    with pytest.raises(UsageError, match="confirmation-missing"):
        execute(live)
    assert results(live, "fail") == ["nothing-left"] and live.path.exists()
    account.faults.clear()
    execute(new_live(tmp_path, account), clean=True)
    assert account.is_empty and not results(live, "fail")


def test_report_has_no_value_and_no_account_number(tmp_path: Path) -> None:
    account = Account("prod", {"pulumi up": fails, "stack export": PENDING, "destroy": lambda _: Done(1, err=CANARY)})
    live = new_live(tmp_path, account)
    execute(live)
    texts = [(live.copy.folder / f"report.{kind}").read_text() for kind in ("json", "html")]
    assert not any(word in text for text in texts for word in ("123456789012", CANARY))
    assert all("AccessDenied" in text for text in texts)


def test_command_of_a_leftover_is_whole_except_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = edited(r'role/\S+@tick(.*)"declared": true', r'AdministratorAccess/jane@example.com\1"declared": false')
    live = new_live(tmp_path, Account("prod-azure", {"keyvault purge": fails, "audit": reader}))
    execute(live)
    assert f"az keyvault purge {PLACE['az']} --name=kv" in capsys.readouterr().out
    text = (live.copy.folder / "report.json").read_text()
    assert "keyvault purge" in text and not any(one in text for one in (VAULT.split("/")[2], "jane@"))


def test_accepted_finding_and_check_are_not_red(tmp_path: Path) -> None:
    account = Account("prod", {"doctor": edited('"your rights", "level": "ok"', '"your rights", "level": "unknown"'),
                               "pulumi refresh": fails})  # fmt: skip
    live = new_live(tmp_path, account, accepted=("your rights", "refresh-succeeds"))
    assert execute(live) == 0
    assert results(live, "accepted") == ["refresh-succeeds"]
    assert "aws-rights-suffice" in results(live, "not reached")


def test_nothing_of_a_platform_is_proven_on_a_stand_in(tmp_path: Path) -> None:
    live = new_live(tmp_path, Account("prod"), standin=True)
    assert execute(live) == 0
    assert not set(results(live, "pass")) - set(GENERAL)


@pytest.mark.parametrize("stack", [*STACKS, "prod-swarm-published"])
def test_copy_is_a_development_stack_with_places_of_its_own(stack: str, tmp_path: Path) -> None:
    live = new_live(tmp_path, Account(stack))
    live.copy.write()
    text = live.copy.file.read_text()
    assert "environment: development" in text
    for place in ("generation", "namespace", "root", "port"):
        mine, theirs = (set(re.findall(rf"\b{place}: [^\s,}}]+", one)) for one in (text, text_of(stack)))
        assert not mine & theirs


@pytest.mark.parametrize("needed", [True, False])
def test_broker_users_are_removed_with_the_client_certificate(needed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.parse(json.dumps(own("prod").outputs["secretops"]), "")
    certified = manifest.broker.model_copy(update={"certificate_file": "client.crt"})
    if needed:
        manifest = manifest.model_copy(
            update={"broker": manifest.broker.model_copy(update={"certificate_secret": "client-cert"})}
        )
    connected = list[Broker]()

    def connect(broker: Broker, _admin: Value) -> None:
        connected.append(broker)
        raise UnreachableError("no answer", rule="", remedy="", code="")

    monkeypatch.setattr(broker_users, "Connection", connect)
    monkeypatch.setattr(Session, "open", lambda *_, **__: SimpleNamespace(broker=certified))
    assert broker_users.remove(manifest, Value({"username": "root", "password": KEY}))[0] == "no answer"
    assert connected == [certified if needed else manifest.broker]


def test_each_claim_is_on_the_page_of_what_is_unproven() -> None:
    assert not [claim.name for claim in CLAIMS if f"`{claim.name}`" not in render()]
