from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from policies.controls import controls
from policies.matchers import at, between, each, judge, select
from policies.plan import UNKNOWN, Environment, Finding, Plan, Resource
from policies.rule import PRODUCTION, Each, Rule, defined
from policies.stack.isolation import look_at_names, look_at_secrets
from policies.stack.values import names, values

# Resources that contain a secret's text, a password, a token, a login or a private key, in any version of an API.
_OF_VALUES = re.compile(
    "|".join([r"random:index/random(Password|String|Bytes):\w+", "tls:index/privateKey:PrivateKey", *defined("VALUES")])
)
# Kinds of store that encrypt values by themselves.
_ENCRYPTED = frozenset(defined("ENCRYPTED"))
# Hosts to which a password may be sent without TLS in development.
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
# Kinds and names of secrets that can create others.
_ADMIN = ("broker-admin", "agent-admin", "ca")
# Maximum age in days by kind of secret: the Secret Management Guide's 90 days and 6 months, and ten years for the
# stack's own CA, whose certificates are short-lived.
_LONGEST = {"mqtt-user": 90, "broker-admin": 90, "agent-key": 183, "ca": 3650}
# Maximum age in days of a secret that only an operator can supply.
_LONGEST_SUPPLIED = 366
# Maximum seconds during which two credentials of one client are valid: a week.
_LONGEST_GRACE = 604_800


def _found(urn: str, places: Iterable[tuple[str, bool]]) -> Iterator[Finding]:
    for place, is_known in places:
        wrong = "looks like a secret value, which the state would contain; let secretops write the value"
        yield Finding(urn, f"{place} {wrong if is_known else 'is known after pulumi up'}", unknown=not is_known)


def _look_at_inputs(one: Resource) -> Iterator[Finding]:
    return _found(one.urn, values(one.properties, None))


def _look_at_all_values(plan: Plan) -> Iterator[Finding]:
    # Outputs with names of readers and logs. Clouds generate such names, so they can look random.
    own = names([at(plan.outputs, "secretops", "store", "readers"), at(plan.outputs, "trail", "records")])
    yield from _found(plan.urn, ((f"output {place}", is_known) for place, is_known in values(plan.outputs, own)))
    seen = {one.urn: [*values(one.properties, None)] for one in plan.resources}
    for one in (*plan.resources, *plan.others):
        yield from _found(one.urn, (it for it in values(one.properties, own) if it not in seen.get(one.urn, ())))


def _look_at_type(one: Resource) -> Iterator[Finding]:
    kind = f"{one.type.partition(':')[0]}:{one.properties.get('kind')}"  # for a custom resource in a cluster
    if _OF_VALUES.fullmatch(one.type) or _OF_VALUES.fullmatch(kind):
        yield Finding(
            one.urn,
            "contains a secret value, which the state would contain, too; let secretops or an operator write the value",
        )


def _outputs(*paths: str, ok: Callable[..., bool], wrong: str) -> Callable[[Plan], Iterator[Finding]]:
    def look(plan: Plan) -> Iterator[Finding]:
        entries = [next(select(plan.outputs, path)) for path in paths]
        return judge(plan, entries, lambda entries: ok(*entries), f"output {paths[0]}", wrong)

    return look


def _look_at_broker(plan: Plan) -> Iterator[Finding]:
    hosts = _LOCAL if plan.environment is Environment.DEVELOPMENT else ()
    both = [at(plan.outputs, "secretops", "broker", key) for key in ("tls", "host")]
    wrong = "is off: passwords cross the network in plain text; set broker.tls, or in development use a local broker"
    yield from judge(plan, both, lambda both: both[0] is True or both[1] in hosts, "broker.tls", wrong)


def _look_at_readers(plan: Plan) -> Iterator[Finding]:
    for secret in each(at(plan.outputs, "secretops", "secrets")):
        name = at(secret, "name")
        if secret is UNKNOWN or at(secret, "kind") in _ADMIN or name in _ADMIN:
            wrong = "include readers other than the rotator, but this secret can create credentials; remove them"
            yield from judge(plan, at(secret, "readers"), lambda by: by == ["rotator"], f"readers of {name}", wrong)


def _look_at_ages(plan: Plan) -> Iterator[Finding]:
    for secret in each(at(plan.outputs, "secretops", "secrets")):
        kind, days = at(secret, "kind"), at(secret, "cadence_days")
        most = _LONGEST.get(kind, _LONGEST_SUPPLIED) if isinstance(kind, str) else _LONGEST_SUPPLIED
        wrong = f"is not from 1 to {most}; shorten it in the section rotation or secrets"
        yield from judge(plan, days, between(1, most), f"cadence_days of {at(secret, 'name')}", wrong)
    grace, wrong = at(plan.outputs, "secretops", "grace_seconds"), "is over a week; shorten rotation.grace_seconds"
    yield from judge(plan, grace, between(0, _LONGEST_GRACE), "grace_seconds", wrong)


RULES: tuple[Rule, ...] = (
    Rule(
        name="stack-declares-no-value",
        sentence="The stack has no resource of a type that contains a password, token, private key or other secret.",
        controls=controls("CC6.1 8.3.2 8.6.2 164.312(a)(1) 32(1)(b)", "the state contains no credential"),
        limitation="The rule does not check resource types that it does not list, or values that are stored without "
        "Pulumi.",
        checks=(Each("*", _look_at_type),),
        across=lambda plan: (found for one in plan.others for found in _look_at_type(one)),
        applies=lambda _: True,
    ),
    Rule(
        name="stack-has-a-trail",
        sentence="The stack's outputs say where reads are recorded, and which reads are not.",
        controls=controls("CC7.2 10.2.1 164.312(b) 32(1)(d)", "reads are recorded, or the gap is known"),
        limitation="The rule does not check whether the log is complete or retained: each platform has rules for that.",
        across=_outputs(
            *("trail.records", "trail.gap", "gaps.trail of every read"),
            ok=lambda records, gap, declared: bool(records) and gap in ("", declared),
            wrong="is empty, or the output gaps does not contain the trail's gap (trail.gap); set both",
        ),
        applies=lambda plan: "trail" in plan.outputs,
    ),
    Rule(
        name="stack-holds-no-value",
        sentence="No input or output of the stack is a secret value, encrypted or not.",
        controls=controls("CC6.1 8.3.2 8.6.2 164.312(a)(1) 32(1)(b)", "the state contains no credential"),
        limitation="The rule does not find a password of under 32 characters without a symbol, if its name is "
        "harmless or it is in a list. Nor does the rule find a password that looks like a path or an address, or one "
        "in an archive.",
        checks=(Each("*", _look_at_inputs),),
        across=_look_at_all_values,
        applies=lambda _: True,
    ),
    Rule(
        name="stack-images-are-pinned",
        sentence="Every container's image has a digest, or a tag other than latest.",
        controls=controls("CC8.1 6.5.1 164.312(c)(1) 32(1)(b)", "a change of the code can be reviewed"),
        limitation="The rule does not check whether a tag is moved in its registry: only a digest prevents that.",
        checks=tuple(defined("IMAGES")),
    ),
    Rule(
        name="stack-is-encrypted-or-declares-it",
        sentence="The store encrypts its values, or the output gaps says that operators must encrypt them.",
        controls=controls("CC6.1 8.3.2 164.312(a)(2)(iv) 32(1)(a)", "values are encrypted, or the gap is known"),
        limitation="The rule does not check whether a declared gap was closed: secretops doctor checks what it can.",
        across=_outputs(
            *("secretops.store.kind", "gaps.encryption at rest"),
            ok=lambda kind, gap: kind in _ENCRYPTED or bool(gap),
            wrong="is a store that does not encrypt, which the output `gaps` must state; export the component's gaps",
        ),
        applies=lambda plan: "secretops" in plan.outputs,
    ),
    Rule(
        name="stack-is-isolated",
        sentence="The broker users, secrets and roles of a stack are named after it; it uses none of another stack.",
        controls=controls("CC6.1 CC8.1 6.5.3 32(1)(b)", "a credential of one environment opens no other"),
        limitation="The rule does not check whether stacks share accounts, clusters, brokers, or names that the stack "
        "file sets.",
        checks=(Each("*", look_at_secrets),),
        across=look_at_names,
        applies=lambda plan: "secretops" in plan.outputs,
    ),
    Rule(
        name="stack-is-protected-in-production",
        sentence="In production everything that contains secrets, keys or the trail is protected from removal.",
        controls=controls("A1.2 10.3.2 164.312(c)(1) 32(1)(b)", "a wrong command destroys nothing"),
        limitation="The rule does not cover removal without Pulumi: each platform has rules for that.",
        checks=tuple(defined("HOLDS")),
        environments=PRODUCTION,
    ),
    Rule(
        name="stack-server-reads-no-admin-secret",
        sentence="Only the rotator reads a secret that can create other credentials.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "the server can't create credentials"),
        limitation="The rule checks the declared readers. Each platform has rules for the rights that policies and "
        "roles grant.",
        across=_look_at_readers,
        applies=lambda plan: "secretops" in plan.outputs,
    ),
    Rule(
        name="stack-rotates-by-schedule",
        sentence="If an operator must enable the hourly rotator, the output gaps says so.",
        controls=controls("CC6.1 8.6.3 32(1)(d)", "nobody has to remember a rotation"),
        limitation="The rule does not check whether the operator's timer is on: secretops doctor checks that.",
        across=_outputs(
            *("schedule", "gaps.rotation schedule"),
            ok=lambda schedule, gap: not schedule or bool(gap),
            wrong="is a command that an operator must run, and the output gaps has no entry `rotation schedule`; "
            "add the entry",
        ),
        applies=lambda plan: "schedule" in plan.outputs,
    ),
    Rule(
        name="stack-rotates-in-time",
        sentence="Passwords rotate within 90 days, agent keys within 6 months, a CA within 10 years, other secrets "
        "within a year; old values are valid for at most a week.",
        controls=controls("CC6.1 8.6.3 164.312(d) 32(1)(b)", "a leaked credential is valid for a limited time"),
        limitation="The rule does not check whether rotations took place: secretops status and the alarms show that.",
        across=_look_at_ages,
        applies=lambda plan: "secretops" in plan.outputs,
    ),
    Rule(
        name="stack-speaks-tls-to-the-broker",
        sentence="Credentials are sent to the broker by TLS, except to a local broker in development.",
        controls=controls(
            "CC6.7 4.2.1 8.3.2 164.312(e)(1) 164.312(e)(2)(ii) 32(1)(a)",
            "passwords and messages are encrypted in transit",
        ),
        limitation="The rule does not check which versions and ciphers of TLS the broker accepts, or whether its "
        "certificate is valid.",
        across=_look_at_broker,
        applies=lambda plan: "secretops" in plan.outputs,
    ),
)
