"""The checks of `make live`: GENERAL for every stack, and CLAIMS that only a run on the real platform can prove.
RESIDUE is what `pulumi destroy` can leave."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from secretops.platforms.swarm.location import SWARM_INSTANCE


class Result(StrEnum):
    PASS = "pass"  # noqa: S105  # nosec B105 - no password
    FAIL = "fail"
    ACCEPTED = "accepted"  # it failed, and ACCEPT names it
    NOT_REACHED = "not reached"


# Every stack's checks: name -> what it proves. The order is that of the report.
GENERAL: dict[str, str] = {
    "preview-accepted": "the provider accepts the plan",
    "policies-kept": "the plan breaks no policy",
    "stack-deployed": "`pulumi up` creates every resource",
    "first-values-published": "secretops creates the broker's users, and each logs in",
    "supplied-values-accepted": "secretops tests and publishes each operator-supplied secret",
    "rotations-published": "three rotations publish three versions, of alternating users",
    "refresh-succeeds": "a refresh reads every resource after the rotations",
    "preview-empty": "a preview after the refresh shows no change: nothing reverts a rotation",
    "state-without-values": "the state contains none of the values that this run supplied",
    "doctor-healthy": "all of doctor's checks are ok",
    "reads-recorded": "the trail shows the reads of this run",
    "readers-declared": "no undeclared reader got a value",
    "old-value-refused": "after `compromise` the broker refuses the old value",
    "compromise-completes": "`compromise` ends with a report of the readers",
    "values-purged": "no value is left in the store",
    "stack-destroyed": "`pulumi destroy` removes every resource",
    "broker-users-removed": "no user of the stack is left on the broker",
    "nothing-left": "no other resource of the stack is left on the platform",
}


@dataclass(frozen=True)
class Follows:
    """Passes if another check passes."""

    check: str


@dataclass(frozen=True)
class Doctor:
    """Checks of `secretops doctor` that must be ok."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Reads:
    """Passes if a reader whose name matches a pattern got a value, according to the trail."""

    reader: str


@dataclass(frozen=True)
class Servers:
    """Passes if every server reports the current version of `mqtt`."""


@dataclass(frozen=True)
class Command:
    """A command of the platform whose output must match. If `type` is set, it runs for each resource of this type."""

    argv: tuple[str, ...]
    shows: str
    type: str = ""


@dataclass(frozen=True)
class ByHand:
    """A person must check the claim, because no command can, or not within hours."""

    how: str


Evidence = Follows | Doctor | Reads | Servers | Command | ByHand


@dataclass(frozen=True)
class Claim:
    """A promise that no test of this repository proves. It applies to a stack that has all `kinds`, such as `store:
    aws`."""

    name: str
    kinds: tuple[str, ...]
    proves: str
    evidence: tuple[Evidence, ...]

    def applies(self, kinds: Collection[str]) -> bool:
        return set(self.kinds) <= set(kinds)


DEPLOYED, ROTATED, RECORDED = (Follows(name) for name in ("stack-deployed", "rotations-published", "reads-recorded"))
_AWS, _AZURE, _VAULT = ("store: aws",), ("store: azure",), ("store: vault",)
_PODS, _SWARM = ("server: kubernetes",), ("server: swarm",)
_HISTORY = "AlarmHistoryItems[?ends_with(HistorySummary, 'action {alerts}')].HistorySummary"

_ALERTS = (
    "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts"
    "?api-version=2019-03-01&targetResourceGroup={group}"
)

CLAIMS: tuple[Claim, ...] = (
    Claim("aws-accepts-the-program", _AWS, "AWS accepts each resource, trust and key policy", (DEPLOYED,)),
    Claim("aws-rights-suffice", _AWS, "the rights of functions, readers and operators suffice",
          (Doctor(("rotators' rights", "readers' rights", "your rights")),)),
    Claim("aws-lease-holds", _AWS, "DynamoDB evaluates the conditions of the lease", (ROTATED,)),
    Claim("aws-schedule-runs", _AWS, "the schedule starts the tick, which runs in this account",
          (RECORDED, Reads("@tick"))),
    Claim("aws-trail-delivers", _AWS, "CloudTrail delivers reads to the log group of the alarms",
          (RECORDED, Doctor(("audit",)))),
    Claim("aws-alarm-fires", _AWS, "an alarm fires, and SNS accepts its notification",
          (Command(("aws", "cloudwatch", "describe-alarm-history", "--region={region}",
                    "--history-item-type", "Action", "--query", _HISTORY, "--output", "text"),
                   "Successfully executed action"),)),
    Claim("aws-alarm-is-received", _AWS, "the recipients get the alarm", (ByHand("read the recipients' mail"),)),
    Claim("aws-cost-is-as-estimated", _AWS, "the bill is as estimated",
          (ByHand("after two days compare the cost by the tag stack with the estimate"),)),
    Claim("ecs-task-starts", ("server: ecs",), "tasks pull the image, start, and use the new values after a rotation",
          (Servers(),)),
    Claim("azure-accepts-the-program", _AZURE, "Azure accepts each resource", (DEPLOYED,)),
    Claim("azure-role-precedes-secret", _AZURE, "a role assigned on a secret that does not exist yet works",
          (DEPLOYED, Doctor(("readers' rights",)))),
    Claim("azure-job-runs", _AZURE, "the schedule starts the job, with its own rights",
          (Command(("az", "rest", "--method", "get", "--url", "{id}/executions?api-version=2024-03-01"),
                   r'"status": *"Succeeded"', "azure-native:app:Job"),)),
    Claim("azure-log-has-its-columns", _AZURE, "the vault's log arrives with the expected columns", (RECORDED,)),
    Claim("azure-alert-fires", _AZURE, "an alert fires",
          (Command(("az", "rest", "--method", "get", "--url", _ALERTS), "monitorCondition",
                   "azure-native:keyvault:Vault"),)),
    Claim("azure-alert-is-received", _AZURE, "the recipients get the alert", (ByHand("read the recipients' mail"),)),
    Claim("azure-event-arrives", _AZURE, "Key Vault's expiry events arrive",
          (ByHand("read the events later: none is due within a month of a secret's creation"),)),
    Claim("containerapp-starts", ("server: containerapp",),
          "replicas pull the image by a new role, start, and use the new values after a rotation", (Servers(),)),
    Claim("kubernetes-pods-follow", _PODS, "a kubelet starts the pods and updates their files after a rotation",
          (Servers(),)),
    Claim("kubernetes-rights-suffice", _PODS, "the deployer's ClusterRole suffices", (DEPLOYED,)),
    Claim("kubernetes-schedule-runs", ("store: kubernetes",), "the CronJob rotates", (Doctor(("rotator",)),)),
    Claim("kubernetes-network-enforced", _PODS, "the network plugin enforces the NetworkPolicies",
          (ByHand("connect to the server's port from a pod of another namespace: there must be no answer"),)),
    Claim("vault-accepts-the-program", _VAULT, "Vault accepts the requests of Pulumi's own provider", (DEPLOYED,)),
    Claim("vault-rotates", _VAULT, "this Vault evaluates check-and-set and policies as OpenBao does", (ROTATED,)),
    Claim("vault-injector-runs", (*_VAULT, *_PODS), "the injector's webhook adds the agent", (Servers(),)),
    Claim("swarm-tasks-follow", _SWARM, "tasks start on any node, and use the new values after a rotation",
          (Doctor(("server",)),)),
    Claim("swarm-clients-reach-it", _SWARM, "clients reach the server by the ingress network or your reverse proxy",
          (ByHand("call the server's /readyz from a client's machine"),)),
    Claim("swarm-timer-runs", ("store: swarm",), "systemd starts the tick",
          (ByHand("install the timer of `secretops export timer`, and read its journal after an hour"),)),
    Claim("coreflux-broker-obeys", ("broker: coreflux",), "the Coreflux broker obeys the documented user commands",
          (ROTATED, Follows("old-value-refused"))),
    Claim("agent-key-works", ("agent: owned",), "the agent accepts a new key at once", (Doctor(("agent",)),)),
)  # fmt: skip


@dataclass(frozen=True)
class Residue:
    """What can remain after `pulumi destroy`. The command `lists` prints a name per line, and `removes` deletes
    {found}."""

    kind: str
    lists: tuple[str, ...]
    removes: tuple[str, ...]
    type: str = ""


def _of_docker(what: str) -> Residue:
    lists = ("docker", what, "ls", "--filter", f"label={SWARM_INSTANCE}={{instance}}", "--format", "{{{{.Name}}}}")
    return Residue("store: swarm", lists, ("docker", what, "rm", "{found}"))


# Live._words defines the words in braces, here and in CLAIMS and TRAILS. If a word is empty, such as {context} for the
# current context, its option is omitted.
RESIDUE: tuple[Residue, ...] = (
    Residue("store: aws", ("aws", "logs", "describe-log-groups", "--region={region}", "--log-group-name-prefix={id}",
                           "--query", "logGroups[?logGroupName=='{id}'].[logGroupName]", "--output", "text"),
            ("aws", "logs", "delete-log-group", "--region={region}", "--log-group-name={found}"),
            "aws:cloudwatch/logGroup:LogGroup"),
    Residue("store: azure", ("az", "keyvault", "list-deleted", "--subscription={subscription}",
                             "--query", "[?name=='{name}'].name", "--output", "tsv"),
            ("az", "keyvault", "purge", "--subscription={subscription}", "--name={found}"),
            "azure-native:keyvault:Vault"),
    Residue("server: kubernetes",
            ("kubectl", "get", "namespace", "{name}", "--context={context}", "--ignore-not-found", "--output=name"),
            ("kubectl", "delete", "{found}", "--context={context}"), "kubernetes:core/v1:Namespace"),
    *map(_of_docker, ("service", "secret", "config", "network")),
)  # fmt: skip

# Kinds whose values are purged after `pulumi destroy`: the service mounts them until then (docs/operations/swarm.md).
DESTROYED_FIRST = ("store: swarm",)

# The trail of a store: arguments of `secretops audit`, or a command that prints lines for it. Others need TRAIL=FILE.
TRAILS: dict[str, tuple[str, ...]] = {
    "store: dotenv": ("audit",), "store: azure": ("audit",), "store: swarm": ("sh", "-c", "{query}"),
    "store: aws": ("aws", "logs", "filter-log-events", "--region={region}", "--log-group-name={log_group}",
                   "--filter-pattern", '{{ $.eventSource = "secretsmanager.amazonaws.com" }}',
                   "--query", "events[].[message]", "--output", "text"),
}  # fmt: skip


def claims(kinds: Collection[str]) -> tuple[Claim, ...]:
    return tuple(claim for claim in CLAIMS if claim.applies(kinds))


def all_checks(kinds: Collection[str]) -> dict[str, str]:
    """Map each check of a stack to the text of what it proves."""
    return {**GENERAL, **{claim.name: claim.proves for claim in claims(kinds)}}
