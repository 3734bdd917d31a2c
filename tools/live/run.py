"""The run: deploy a throwaway copy of a stack, prove what the documentation promises of it, and remove the copy."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from components.settings.settings import ConfigurationError
from policies import cost
from policies.evidence import Verdict, judge
from policies.plan import NoPlanError, plan_of_preview
from policies.rule import Enforcement
from secretops.errors import ExitCode, UsageError
from secretops.formats import counted
from secretops.manifest import HTTP_TOKEN, Manifest, Secret, SecretKind
from secretops.redaction import redact
from secretops.values import Value, new_password
from tools.live import broker_users, checks
from tools.live.checks import ByHand, Claim, Command, Doctor, Evidence, Follows, Reads, Result, Servers
from tools.live.runner import Done
from tools.live.state import CheckOutcome, Leftover, State, anonymous
from tools.live.throwaway import Throwaway
from tools.steps import say, write_whole

# Seconds between two reads of something that arrives late; and the longest grace period, in seconds, that a run without
# a server waits for.
PAUSE, LONG = 15.0, 60

# Detail of a check that did not run. It is not printed.
EARLIER = "an earlier check failed, or the run was interrupted"

# Detail of a removal that proves nothing.
NOTHING = "nothing was deployed"

# Maximum characters of a detail.
LONGEST = 400

# Doctor's checks of every stack. The others read what no stand-in creates.
OF_EVERY_STACK = re.compile(r"broker|agent|certificates|orphaned values|(secret|login) .*")

T = TypeVar("T")


class StoppedError(Exception):
    """A check failed on which the next steps depend."""


@dataclass(kw_only=True)
class Options:
    """The user's choices. `supplied` maps secrets to values. `accepted` names the checks, including doctor's, that may
    fail."""

    supplied: Mapping[str, Value] = field(default_factory=dict, repr=False)
    accepted: Sequence[str] = ()
    trail: str = ""
    wait: float = 5400.0
    standin: bool = False
    confirm: Callable[[str, str], None] = lambda _cost, _name: None


@dataclass
class Live:
    """A run on `copy`. `run` runs commands. `reach` is called before each step, for tests."""

    copy: Throwaway
    run: Callable[..., Done]
    options: Options
    state: State = field(default_factory=State)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    reach: Callable[[str], object] = lambda _step: None
    remove_from_broker: Callable[[Manifest, Value | None], tuple[str, dict[str, str]]] = broker_users.remove

    def __post_init__(self) -> None:
        self._last = self.clock()
        self.path, self._manifest_file = self.copy.folder / "state.json", self.copy.folder / "manifest.json"

    @property
    def clean_command(self) -> str:
        return f"make live STACK={self.copy.original} {'STANDIN=up ' if self.options.standin else ''}CLEAN=1"

    @property
    def is_confirmed(self) -> bool:
        return self.preview.__name__ in self.state.done

    @property
    def is_complete(self) -> bool:
        return {step.__name__ for step in self._steps()} <= set(self.state.done)

    @property
    def has_failed(self) -> bool:
        return any(one.result is Result.FAIL for one in self.state.outcomes.values())

    @property
    def is_void(self) -> bool:
        """Whether nothing was deployed, no check failed, and nothing is left."""
        return self.state.finished and not (self.is_confirmed or self.has_failed or self.state.leftovers)

    def refuse_other_mode(self) -> None:
        """Raise UsageError if the run began on a stand-in and would continue in an account, or the reverse."""
        if self.state.standin != self.options.standin:
            what = f"the run began with{'' if self.state.standin else 'out'} STANDIN=up"
            rule, remedy = (
                "a run must continue with the provider with which it began",
                "run make live with the same STANDIN as before",
            )
            raise UsageError(what, rule=rule, remedy=remedy, code="live-mode-differs")

    def refuse_name_in_use(self) -> None:
        """Raise UsageError if a stack has the copy's name or subnet, or if Pulumi cannot list the stacks."""
        stacks = self._stacks()
        if stacks is None:
            rule, remedy = (
                "pulumi must be able to list the stacks",
                "pulumi stack ls shows the reason; if you are not logged in: pulumi login",
            )
            raise UsageError("pulumi stack ls failed", rule=rule, remedy=remedy, code="live-stacks-unknown")
        if self.copy.file.exists() or self.copy.name in stacks:
            rule = "the name of the throwaway copy must be unused: make live only changes stacks that it created"
            remedy = f"rename the stack, or remove it: pulumi stack rm {self.copy.name}"
            raise UsageError(f"stack {self.copy.name} exists", rule=rule, remedy=remedy, code="live-name-taken")
        original = self.copy.original
        if self.copy.has_subnet and stacks.get(original):
            what, rule = (
                f"store.subnet: used by the stack {original}",
                "a subnet serves only one Container Apps environment, so the copy needs another subnet",
            )
            remedy = f"copy Pulumi.{original}.yaml to Pulumi.trial.yaml, change its subnet, then make live STACK=trial"
            raise UsageError(what, rule=rule, remedy=remedy, code="live-subnet-taken")

    def prove(self) -> None:
        """Run the steps that are not done yet. Then remove the copy, even after a failure or an interruption."""
        self._save()
        try:
            for step, check in self._steps().items():
                if not self.state.cleaning and step.__name__ not in self.state.done:
                    self._step(step, check)
        except StoppedError:
            pass
        except (Exception, KeyboardInterrupt, SystemExit):
            self.clean_up()
            raise
        self.clean_up()

    def _steps(self) -> dict[Callable[[], None], str]:
        # Each step has the check that fails if the step fails unexpectedly.
        return {
            self.preview: "preview-accepted",
            self.deploy: "stack-deployed",
            self.first_values: "first-values-published",
            self.rotate: "rotations-published",
            self.unchanged: "preview-empty",
            self.doctor: "doctor-healthy",
            self.audit: "reads-recorded",
            self.compromise: "compromise-completes",
            self.claims: "run-without-defect",
        }

    def clean_up(self) -> None:
        """Remove the copy, what it left on the platform, and its users on the broker. A repeated call begins again."""
        self.state.cleaning, self.state.finished, self.state.leftovers = True, False, []
        self._save()
        if not self.state.created:
            self.copy.file.unlink(missing_ok=True)
        else:
            steps = {self.purge: "values-purged", self.destroy: "stack-destroyed"}
            if set(checks.DESTROYED_FIRST) & set(self.copy.kinds):
                steps = dict(reversed(steps.items()))
            users = {self.remove_users: "broker-users-removed"}
            if self.copy.requires_certificate:  # which is removed with the values or the resources
                steps = {**users, **steps}
            for step, check in {**steps, **users, self.remove_rest: "nothing-left"}.items():
                self._step(step, check)
        for name in checks.all_checks(self.copy.kinds):
            if name not in self.state.outcomes:
                self.record(name, detail=EARLIER, reached=False)
        self.state.finished = True
        self._save()

    def forget(self) -> None:
        """Remove the state of a run whose copy was removed without a leftover. The report and the log remain."""
        kept = ("report.html", "report.json", "log.txt", "lock")
        for path in self.copy.folder.iterdir() if self.state.finished and not self.state.leftovers else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in kept:
                path.unlink()

    def record(self, name: str, failed: str = "", *, detail: str = "", reached: bool = True) -> bool:
        """Record a check's result, which is FAIL if `failed` has a reason. Return whether the run may continue."""
        result = Result.PASS
        if failed:
            result = Result.ACCEPTED if name in self.options.accepted else Result.FAIL
        elif not reached:
            result = Result.NOT_REACHED
        now, text = self.clock(), anonymous(failed or detail)[:LONGEST]
        self.state.outcomes[name] = CheckOutcome(result=result, detail=text, seconds=round(now - self._last, 1))
        self._last = now
        if detail != EARLIER:
            say(f"{result:<11} {name}{': ' if text else ''}{text}"[:80])
        self._save()
        return result is not Result.FAIL

    def preview(self) -> None:
        self.copy.write()
        again, self.state.created = self.state.created, True
        self._save()
        made = self.run("pulumi", "stack", "init", self.copy.name, "--no-select", "--non-interactive")
        exists = "already exists" in made.reason
        if made.code and not (exists and again):
            self.state.created = again or not exists  # a stack that exists already is somebody else's
            self._need("preview-accepted", made.reason)
        done = self._pulumi("preview", "--json")
        try:
            plan = plan_of_preview(done.out)
        except NoPlanError as error:
            self._need("preview-accepted", _errors(done) if done.code else str(error))
            return
        self._need("preview-accepted", _errors(done) if done.code else "")
        mandatory = (one for one in judge(plan) if one.rule.enforcement is not Enforcement.ADVISORY)
        self._need("policies-kept", ", ".join(one.rule.name for one in mandatory if one.verdict is Verdict.BROKEN))
        self.options.confirm(cost.text(plan) or "It costs nothing.", self.copy.name)

    def deploy(self) -> None:
        done = self._pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", "--policy-pack", "policies")
        self._need("stack-deployed", done.failed or ("" if self._has_manifest() else "no output secretops"))
        self._note_resources()

    def first_values(self) -> None:
        """Supply or generate the first value of each secret, in the order of docs/operations/bootstrap.md."""
        manifest, embedded = self.manifest, self.manifest.broker.embedded
        supplied = {HTTP_TOKEN[0]: Value({HTTP_TOKEN[1]: new_password()}), **self.options.supplied}
        if embedded and (started := self._secretops("broker", "start")).code:
            self._need("first-values-published", started.reason)
        refused, skipped = list[str](), list[str]()
        certificates_first = sorted(manifest.secrets, key=lambda one: one.kind not in (SecretKind.CA, SecretKind.X509))
        for secret in certificates_first:
            if value := supplied.get(secret.name):
                done = self._secretops("put", secret.name, stdin=json.dumps(value.as_dict()))
                if secret.kind is SecretKind.BROKER_ADMIN and not done.code:
                    done = self._secretops("rotate", secret.name)  # to an admin that only the copy uses
                refused += [f"{secret.name}: {done.reason}"] if done.code else []
            elif secret.is_issued:
                self._secretops("rotate", secret.name)
            elif not secret.makes_first_value and not (embedded and secret.kind is SecretKind.BROKER_ADMIN):
                skipped.append(secret.name)
        ticked = self._secretops("tick")
        failed = ticked.failed if ticked.code not in (ExitCode.ATTENTION, ExitCode.WAITING) else ""
        alternating = {one.name for one in manifest.secrets if one.kind.alternates}
        late = alternating - {one["name"] for one in self._status() if one["status"] == "verified"}
        hint = f"not verified: {', '.join(sorted(late))}; not supplied: {', '.join(skipped)}" if late else ""
        if not refused:
            self._need("first-values-published", failed or hint)
        reached = bool(refused) or not skipped
        missing = f"not supplied: {', '.join(skipped)}" if skipped else ""
        self._need("supplied-values-accepted", "; ".join(refused), detail=missing, reached=reached)

    def rotate(self) -> None:
        """Rotate three times. Retries while the lease is taken or a grace period runs."""
        seen = list[dict[str, Any]]()
        grace, nobody = self.manifest.grace_seconds, self.options.standin or self.manifest.replicas is None
        now = ("--now",) if nobody and grace > LONG else ()  # because the copy runs no server
        for _ in range(3):
            done = self._until(lambda: self._secretops("rotate", self._mqtt.name, *now), grace + 300, _is_over)
            if done.code:
                self.record("rotations-published", done.reason)
                return
            seen.append(next((one["current"] or {} for one in self._status() if one["name"] == self._mqtt.name), {}))
        versions = {one.get("id") for one in seen}
        alternate = all(one.get("user") != other.get("user") for one, other in pairwise(seen))
        self.record("rotations-published", "" if len(versions) == len(seen) and alternate else f"versions: {seen}")

    def unchanged(self) -> None:
        self.record("refresh-succeeds", self._pulumi("refresh", "--yes", "--skip-preview").failed)
        self.record("preview-empty", self._pulumi("preview", "--diff", "--expect-no-changes").failed)
        state = self._pulumi("stack", "export", "--show-secrets", quiet=True)
        found = "" if redact(state.out) == state.out else "the state contains a value"
        self.record("state-without-values", f"exit code {state.code}" if state.code else found)

    def doctor(self) -> None:
        """Run doctor until no check is red, because some facts appear late, such as the first run of a schedule."""
        self.state.doctor = found = self._until(self._examine, self.options.wait, lambda found: not self._red(found))
        accepted = ", ".join(name for name in found if found[name] and name in self.options.accepted)
        red = "; ".join(self._red(found)) if found else "doctor printed no check"
        self.record("doctor-healthy", red, detail=f"accepted: {accepted}" if accepted else "")

    def audit(self) -> None:
        reason = "" if self._trail else "pass the store's access log: TRAIL=FILE"
        if self.options.standin and not self.options.trail:
            reason = "a stand-in delivers no trail"
        rows = [] if reason else self._until(self._reads, self.options.wait, bool)
        failed = "" if rows or reason else "no read of this run"
        self.record("reads-recorded", failed, detail=reason, reached=not reason)
        others = sorted({str(row["reader"]) for row in rows if not row["declared"]})
        self.record("readers-declared", ", ".join(others), detail=reason, reached=bool(rows))

    def compromise(self) -> None:
        trail = ("--trail", self.options.trail) if self.options.trail else ()
        done = self._secretops("compromise", self._mqtt.name, "--yes", "--json", "--to", str(self.copy.folder), *trail)
        incident = _json(done)
        proven = "proof" in incident.get("done", ())
        self.record("old-value-refused", "" if proven else done.reason)
        self.record("compromise-completes", done.reason if proven and not incident.get("ended") else "", reached=proven)

    def claims(self) -> None:
        """Wait for the evidence of all claims at once, at most `options.wait` seconds, and record each result."""
        end, late = self.clock() + self.options.wait, list[Claim]()
        for claim in checks.claims(self.copy.kinds):
            if reason := self._unreachable(claim):
                self.record(claim.name, detail=reason, reached=False)
            else:
                late.append(claim)
        while late:
            missing = {claim.name: "; ".join(filter(None, map(self._missing, claim.evidence))) for claim in late}
            for claim in [one for one in late if not missing[one.name] or self.clock() >= end]:
                self.record(claim.name, missing[claim.name])
                late.remove(claim)
            if late:
                self.sleep(PAUSE)

    def purge(self) -> None:
        if self._passed("values-purged"):
            return
        if not self._has_manifest():
            self.record("values-purged", detail=NOTHING, reached=False)
            return
        done = self._secretops("purge", "--destroy", "--yes", "--json")
        remaining = _json(done).get("remaining", ())
        versions = _json(self._secretops("purge", "--json")).get("versions", {})
        stored = [name for name in versions if versions[name]]
        passed = self.record("values-purged", done.failed or ", ".join([*stored, *remaining]))
        if not passed and (done.failed or stored):
            self.leave("values in the store", f"secretops purge --destroy --manifest {self._manifest_file}")
        for text in remaining:
            self.leave(text, "delete this key at DigitalOcean")

    def destroy(self) -> None:
        self._pulumi("cancel", "--yes")
        self._note_resources()
        self._pulumi("state", "unprotect", "--all", "--yes")
        done = self._pulumi("destroy", "--yes", "--skip-preview", "--suppress-outputs")
        exported = _json(self._pulumi("stack", "export"))
        remaining = (exported.get("deployment") or {}).get("resources") or ()
        left = counted(len(remaining), "resource remains", "resources remain")
        failed = f"{left}; {done.reason}" if remaining else ""
        if "deployment" not in exported and ((stacks := self._stacks()) is None or self.copy.name in stacks):
            failed = f"the state is not readable; {done.reason}"
        if not self._removed("stack-destroyed", failed):
            self.leave(f"resources of {self.copy.name}", self.clean_command)

    def remove_users(self) -> None:
        if self._passed("broker-users-removed"):
            return
        failed, leftovers = "", dict[str, str]()
        if "deploy" in self.state.done and self._has_manifest() and not self.manifest.broker.embedded:
            admin = self.manifest.of_kind(SecretKind.BROKER_ADMIN)
            supplied = self.options.supplied.get(admin.name) if admin else None
            failed, leftovers = self.remove_from_broker(self.manifest, supplied)
        if not self._removed("broker-users-removed", failed):
            for user, command in leftovers.items():
                self.leave(f"user {user} on the broker", command)

    def remove_rest(self) -> None:
        """Remove what `pulumi destroy` left on the platform, then the stack."""
        skipped, before = list[str](), len(self.state.leftovers)
        for residue in checks.RESIDUE if not self.options.standin else ():
            for words in self._words(residue.type) if residue.kind in self.copy.kinds else ():
                try:
                    listing = _filled(residue.lists, words)
                except KeyError as unknown:  # the copy has no manifest: secretops never ran
                    skipped.append(f"{' '.join(residue.lists[:2])}: {unknown} is unknown")
                    continue
                for name in self.run(*listing).out.split():
                    self.run(*_filled(residue.removes, {**words, "found": name}))
                again = self.run(*listing)
                if again.code:
                    self.leave(f"possibly more: {' '.join(listing[:3])}: {again.reason}", shlex.join(listing))
                for name in again.out.split():
                    self.leave(name, shlex.join(_filled(residue.removes, {**words, "found": name})))
        pending = self._exported().get("pending_operations") or ()
        for one in pending:
            what = f"possibly {one['resource']['urn'].rpartition('::')[2]}, because its creation was interrupted"
            self.leave(what, f"pulumi refresh --stack {self.copy.name}")
        if self.state.outcomes["stack-destroyed"].result is not Result.FAIL and not pending:
            selected = [one["name"] for one in self._listed() or () if one.get("current")]
            done = self.run("pulumi", "stack", "rm", self.copy.name, "--yes", "--non-interactive")
            for name in selected:  # `stack rm` unselects the selected stack, whichever it removes
                self.run("pulumi", "stack", "select", name, "--non-interactive")
            if done.code and "no stack named" not in done.reason:
                self.leave(f"the stack {self.copy.name}: {done.reason}", f"pulumi stack rm {self.copy.name}")
            else:
                self.copy.file.unlink(missing_ok=True)
        leftovers = ", ".join(one.what for one in self.state.leftovers[before:])
        self._removed("nothing-left", leftovers, detail="; ".join(skipped))

    @property
    def manifest(self) -> Manifest:
        return Manifest.parse(self._manifest_file.read_bytes(), str(self._manifest_file))

    @property
    def _mqtt(self) -> Secret:
        return next(one for one in self.manifest.secrets if one.kind is SecretKind.MQTT_USER)

    def _step(self, step: Callable[[], None], check: str) -> None:
        # An unexpected failure fails `check`, and ends the run if the next steps depend on this step.
        self.reach(step.__name__)
        say(f"- {step.__name__.replace('_', ' ')}")
        try:
            step()
        except (StoppedError, UsageError, ConfigurationError):
            raise
        except Exception as error:  # a defect, or an answer of a form that nobody expects
            self.record(check, f"{type(error).__name__}: {error}")
            if step in (self.preview, self.deploy, self.first_values):
                raise StoppedError from error
        self.state.done.append(step.__name__)
        self._save()

    def _need(self, name: str, failed: str, *, detail: str = "", reached: bool = True) -> None:
        if not self.record(name, failed, detail=detail, reached=reached):
            raise StoppedError

    def _removed(self, name: str, failed: str, *, detail: str = "") -> bool:
        # A removal is not proven if nothing was deployed, nor if `detail` says what is unknown.
        detail = detail if self.is_confirmed else NOTHING
        return self.record(name, failed, detail=detail, reached=not detail)

    def _passed(self, name: str) -> bool:
        return name in self.state.outcomes and self.state.outcomes[name].result in (Result.PASS, Result.ACCEPTED)

    def leave(self, what: str, command: str) -> None:
        """Add what remains to the leftovers. Keep account numbers, because `command` needs them; the report hides
        them."""
        self.state.leftovers.append(Leftover(what=redact(what), command=redact(command)))

    def _save(self) -> None:
        write_whole(self.path, self.state.model_dump_json(indent=2), mode=0o600)

    def _pulumi(self, *words: str, quiet: bool = False) -> Done:
        return self.run("pulumi", *words, "--stack", self.copy.name, "--non-interactive", quiet=quiet)

    def _listed(self) -> list[dict[str, Any]] | None:
        # Returns the user's stacks, or None if they are unknown.
        done = self.run("pulumi", "stack", "ls", "--json", "--non-interactive")
        return None if done.code else json.loads(done.out)

    def _stacks(self) -> dict[str, int] | None:
        # Maps the user's stacks, without their organization, to the number of their resources. None if unknown.
        found = self._listed()
        if found is None:
            return None
        return {one["name"].rpartition("/")[2]: one.get("resourceCount", 0) for one in found}

    def _secretops(self, *words: str, stdin: str = "") -> Done:
        return self.run("secretops", *words, "--manifest", str(self._manifest_file), stdin=stdin)

    def _status(self) -> list[dict[str, Any]]:
        return list(_json(self._secretops("status", "--json")).get("secrets", ()))

    def _has_manifest(self) -> bool:
        if not self._manifest_file.exists() and (
            found := _json(self._pulumi("stack", "output", "secretops", "--json"))
        ):
            write_whole(self._manifest_file, json.dumps(found), mode=0o600)
        return self._manifest_file.exists()

    def _exported(self) -> dict[str, Any]:
        return dict(_json(self._pulumi("stack", "export")).get("deployment") or {})

    def _note_resources(self) -> None:
        # Checks name these resources by type. Later the state no longer has their ids.
        commands = (one for claim in checks.CLAIMS for one in claim.evidence if isinstance(one, Command))
        named = {*(one.type for one in checks.RESIDUE), *(one.type for one in commands)}
        for one in self._exported().get("resources") or ():
            ids = self.state.resources.setdefault(one["type"], []) if one["type"] in named else []
            ids += [one["id"]] if "id" in one and not one.get("external") and one["id"] not in ids else []

    def _words(self, of_type: str = "") -> Iterator[Mapping[str, str]]:
        # Yields the words that a command may contain: those of the store, with each resource of a type.
        store = self.manifest.store.model_dump(mode="json") if self._has_manifest() else {}
        base = self.copy.client | {key: str(one) for key, one in store.items() if one is not None}
        for found in self.state.resources.get(of_type, ()) if of_type else ("",):
            group = re.match(r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)", found)
            own = {"id": found, "name": found.rpartition("/")[2]} if found else {}
            yield {**base, **(group.groupdict() if group else {}), **own}

    def _red(self, found: Mapping[str, str]) -> list[str]:
        accepted = self.options.accepted
        return [f"{name}: {text}" for name, text in found.items() if text and name not in accepted]

    def _examine(self) -> dict[str, str]:
        found = _json(self._secretops("doctor", "--json")).get("checks", ())
        return {
            one["check"]: "" if one["level"] == "ok" else f"{one['value']} ({one['level']})"
            for one in found
            if not self.options.standin or OF_EVERY_STACK.fullmatch(one["check"])
        }

    @property
    def _trail(self) -> tuple[str, ...]:
        # The command that prints the trail, or the arguments of `secretops audit`; empty if there is no trail.
        if self.options.trail:
            return "audit", self.options.trail
        return next((command for kind, command in checks.TRAILS.items() if kind in self.copy.kinds), ())

    def _reads(self) -> list[dict[str, Any]]:
        # Only accesses that returned a value, since the run began.
        words, lines = self._trail, ""
        if words[0] != "audit":
            query = str(_json(self._pulumi("stack", "output", "trail", "--json")).get("query"))
            lines = self.run(*_filled(words, {**next(self._words()), "query": query})).out
            words = ("audit", "-")
        done = self._secretops(*words, "--json", "--since", self.state.began, stdin=lines)
        printed = done.out.splitlines() if done.code in (ExitCode.DONE, ExitCode.ATTENTION) else ()
        return [row for row in map(json.loads, printed) if row.get("value_returned")]

    def _unreachable(self, claim: Claim) -> str:
        # The reason why this run cannot prove the claim, or "".
        for one in claim.evidence:
            match one:
                case ByHand(how):
                    return f"by hand: {how}"
                case Follows(check) if not self._passed(check):
                    return f"see {check}"
                case Doctor(names) if bad := [name for name in names if self.state.doctor.get(name, "missing")]:
                    return f"see doctor-healthy: {', '.join(bad)}"
        return "a stand-in proves nothing about the platform" if self.options.standin else ""

    def _missing(self, evidence: Evidence) -> str:
        # What is not proven yet, or "".
        match evidence:
            case Reads(reader):
                found = any(re.search(reader, str(row["reader"])) for row in self._reads())
                return "" if found else f"no read by {reader}"
            case Servers():
                return self._behind()
            case Command(_, _, of_type) if of_type and not self.state.resources.get(of_type):
                return f"no resource of type {of_type}"
            case Command(argv, shows, of_type):
                for words in self._words(of_type):
                    done = self.run(*_filled(argv, words))
                    if done.code or not re.search(shows, done.out):
                        return f"{' '.join(argv[:3])}: {done.failed or f'no {shows}'}"
        return ""

    def _behind(self) -> str:
        row = next((one for one in self._status() if one["name"] == self._mqtt.name), {})
        # A server whose session was ended leaves its last report: older versions do not count.
        good = sum(one["version"] == (row.get("current") or {}).get("id") for one in row.get("replicas") or ())
        wanted = self.manifest.replicas or 1
        servers = counted(wanted, "server reports", "servers report")
        return "" if good >= wanted else f"{good} of {servers} the current version"

    def _until(self, look: Callable[[], T], seconds: float, is_complete: Callable[[T], bool]) -> T:
        end = self.clock() + seconds
        while not is_complete(found := look()) and self.clock() < end:
            self.sleep(PAUSE)
        return found


def _is_over(done: Done) -> bool:
    return done.code != ExitCode.BUSY and "[grace-not-over]" not in done.err


def _filled(argv: Sequence[str], words: Mapping[str, str]) -> list[str]:
    # Without options that are empty. Raises KeyError for an unknown word.
    return [text for word in argv if not (text := word.format_map(words)).endswith("=")]


def _json(done: Done) -> dict[str, Any]:
    # The first JSON object that starts a line of the output, or an empty one.
    for found in re.finditer(r"^\{", done.out, re.MULTILINE):
        with suppress(ValueError):
            return dict(json.JSONDecoder().raw_decode(done.out, found.start())[0])
    return {}


def _errors(done: Done) -> str:
    events = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    found = [one["diagnosticEvent"] for one in events if "diagnosticEvent" in one]
    return " / ".join(one["message"].strip() for one in found if one.get("severity") == "error") or done.reason
