"""Doctor's checks of an AWS stack: caller, secrets, labels, keys, lease, rotation, rights, trail and alarms.

Rights are as IAM evaluates them, with SimulatePrincipalPolicy:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from secretops.check import (
    Check,
    Repair,
    Result,
    attention,
    clock_skew,
    judge,
    ok,
    poll,
    reached,
    table,
    undeclared_secrets,
    unknown,
)
from secretops.errors import StoreError
from secretops.platform import OpenedStack
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import CURRENT, PENDING, version_with
from secretops.platforms.aws.checks.account import Account
from secretops.platforms.aws.checks.cloudtrail import audit
from secretops.platforms.aws.labels import LabelState
from secretops.platforms.aws.rotation_setup import STUCK_AFTER, api_of, free
from secretops.stores.lease import Timing

# AWS rotates within the window of hours that the stack sets.
LATE = timedelta(days=1)
# Instead of the ARN of a subscription that nobody has confirmed yet.
UNCONFIRMED = "PendingConfirmation"
READS = ("secretsmanager:GetSecretValue",)
# What `secretops put`, `status` and `tick`, and a rotation, do with each secret, and with the table of the lease.
OPERATES = (
    *("secretsmanager:DescribeSecret", *READS),
    *("secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"),
)
LOCKS = ("dynamodb:UpdateItem",)


def aws_checks(account: Account, stack: OpenedStack, tick: Repair) -> list[Check]:
    places = account.location.secrets
    rotated = {one.name: places.get(one.name, "") for one in stack.manifest.secrets if one.kind.alternates}
    return table(
        account,
        {
            "credentials": lambda it: reached(it.reach, lambda: f"{it.identity['Arn']} in {it.location.region}"),
            "clock": lambda it: clock_skew(it.ahead, "AWS", ", and AWS refuses who is five minutes off"),
            "secrets": secrets,
            "unknown secrets": unknown_secrets,
            "keys": keys,
            "lease": partial(lease, follow=tick),
            "pending": partial(pending, stack=stack, tick=tick, rotated=rotated.values()),
            "rotation": partial(rotation, rotated=rotated),
            "your rights": own_rights,
            "readers' rights": readers_rights,
            "rotators' rights": partial(rotators_rights, rotated=[name for name in rotated.values() if name]),
            "audit": audit,
            "alarms": alarms,
        },
    )


def secrets(account: Account) -> Result:
    """Check that every secret of the stack exists, and is not scheduled for deletion."""
    region = account.location.region
    found = account.secrets
    if missing := [name for name, secret in found.items() if secret is None]:
        return attention(
            f"no secret {', '.join(missing)} in {region}, account {account.identity['Account']}",
            "`pulumi up` makes them",
            "pulumi up",
        )
    leaving = {name: date for name, secret in found.items() if secret and (date := secret.get("DeletedDate"))}
    if not leaving:
        return ok(f"{len(found)} in {region}")

    def restore() -> str:
        for name in leaving:
            account.ask("secretsmanager:RestoreSecret", SecretId=name)
        return f"{', '.join(leaving)}: taken back"

    return attention(
        "; ".join(f"{name}: scheduled for deletion on {_utc(date)}" for name, date in leaving.items()),
        "until then AWS keeps the values and gives them to nobody, and lets nobody make another of that name",
        f"aws secretsmanager restore-secret --region {region} --secret-id {next(iter(leaving))}, then pulumi "
        "up (CloudTrail says who deleted it); or begin anew under other names: count store.generation up",
        Repair(f"restore-secret: take back {', '.join(leaving)}", restore),
    )


def unknown_secrets(account: Account) -> Result:
    """Find secrets with the stack's prefix that the stack does not know: their readers still find a value."""
    found = account.strangers()
    going = (f"{name} goes on {_utc(date)}, which holds its name until then" for name, date in found.items() if date)
    if staying := [name for name, date in found.items() if date is None]:
        delete = f"aws secretsmanager delete-secret --region {account.location.region} --secret-id {staying[0]}"
        return undeclared_secrets(
            staying,
            "named as the stack's own, and none of them",
            f"{delete}, which restore-secret takes back for 30 days",
        )
    return ok("; ".join(going) or "none")


def keys(account: Account) -> Result:
    """Check that the KMS keys of the secrets are enabled: without its key no value can be read."""
    used: dict[str, list[str]] = {}
    for name, described in account.secrets.items():
        if described and (key := described.get("KmsKeyId")):
            used.setdefault(key, []).append(name)
    states = {key: account.ask("kms:DescribeKey", KeyId=key)["KeyMetadata"]["KeyState"] for key in used}
    wrong = {key: state for key, state in states.items() if state != "Enabled"}
    if not wrong:
        return ok(f"{len(used)} of the stack's own, on" if used else "AWS' own")
    key = next(iter(wrong))
    back = "cancel-key-deletion, then aws kms enable-key" if "Deletion" in wrong[key] else "enable-key"
    return attention(
        "; ".join(f"key {key} of {', '.join(used[key])} is {state}" for key, state in wrong.items()),
        "a secret whose key is off or gone is read by nobody, and a key that is gone takes its values along",
        f"aws kms {back} --key-id {key}; CloudTrail says who did it",
    )


def lease(account: Account, timing: Timing | None = None, follow: Repair | None = None) -> Result:
    """Check that the holder of the lease renews it. `follow` takes over from one that was killed."""
    account.reach()
    timing = timing or Timing()
    try:
        holder = account.lease.read().record
    except errors.AbsentError as error:
        return Result.of(error)
    if holder is None:
        return ok("free")
    since = f"{holder.holder} since {_utc(holder.since)}" if holder.since else holder.holder
    for _ in poll(timing.duration, timing.poll):
        if (now := account.lease.read().record) is None or now != holder:
            return ok(f"held by {since}")
    return attention(
        f"held by {since}, who did not renew it for {timing.duration:.0f} s",
        f"who lives renews it every {timing.renew:.0f} s: this one was killed, or has no network, and may "
        "have left a rotation half-done",
        "secretops tick follows it, and finishes what was begun; if it comes again, the log of the function that "
        "was killed says why (its time, its memory)",
        follow,
    )


def pending(account: Account, stack: OpenedStack, tick: Repair, rotated: Collection[str]) -> Result:
    """Find an AWSPENDING that no rotation works on: while it is there, AWS does not rotate.

    `rotated`: full names of the secrets whose values only secretops makes; in others somebody may have staged a value.
    """
    wrong, remedies, under_way, strays, repair = [], [], [], dict[str, str](), None
    for name in account.names:
        labels = account.labels(name)
        version = version_with(labels, PENDING)
        if version is None or CURRENT in labels[version]:
            continue
        ours = LabelState(labels).versions.pending
        made = ours.created if ours else _made(account, name, version)
        if made is None:  # it ended while doctor looked
            continue
        if datetime.now(UTC) - made < STUCK_AFTER:
            under_way.append(name)
        elif ours:
            wrong.append(f"{name}: AWSPENDING is left on version {version} since {_utc(made)}")
            remedies.append("secretops tick finishes it; its log says why it could not")
            repair = tick
        else:
            wrong.append(f"{name}: AWSPENDING is on version {version} since {_utc(made)}, empty or not of secretops")
            remedies.append(_how_to_free(account, name, version, is_ours=name in rotated))
            strays |= {name: version} if name in rotated else {}

    def free_strays() -> str:
        """Under the lease, when no step is at work."""
        with stack.lease("doctor --repair"):
            freed = [name for name, version in strays.items() if free(api_of(stack.store), name, version)]
        return f"AWSPENDING taken off {', '.join(freed) or 'none: it had moved on'}"

    return judge(
        wrong,
        "AWS makes an empty one, which the stack's function fills; while it is there, and not AWSCURRENT too, "
        "AWS refuses the next rotation, as of one that has not ended",
        "; ".join(dict.fromkeys(remedies)),
        f"under way: {', '.join(under_way)}" if under_way else "none is left behind",
        Repair(f"take AWSPENDING off {', '.join(strays)}", free_strays) if strays else repair,
    )


def _made(account: Account, name: str, version: str) -> datetime | None:
    """Return when a version with a label was made; None if it has no label by now."""
    found = account.ask("secretsmanager:ListSecretVersionIds", SecretId=name, MaxResults=100)["Versions"]
    return next((each["CreatedDate"] for each in found if each["VersionId"] == version), None)


def _how_to_free(account: Account, name: str, version: str, *, is_ours: bool) -> str:
    aws, which = "aws secretsmanager", f"--region {account.location.region} --secret-id {name}"
    away = f"{aws} update-secret-version-stage {which} --version-stage AWSPENDING --remove-from-version-id {version}"
    if not is_ours:
        return f"CloudTrail says who staged it; if nobody wants its value, which then is gone: {away}"
    return f"the function's log says why it put nothing in; take it away: {away}; then: {aws} rotate-secret {which}"


def rotation(account: Account, rotated: Mapping[str, str]) -> Result:
    """Check that AWS rotates on schedule what secretops makes values for: `rotated`, secret -> full name, or ""."""
    wrong, healthy = [], []
    for secret, name in rotated.items():
        found = account.secrets[name] if name else None
        if found is None:
            wrong.append(f"{secret} is not there")
        elif not found.get("RotationEnabled"):
            wrong.append(f"{secret} is not rotated")
        elif (due := found.get("NextRotationDate")) and datetime.now(UTC) - due > LATE:
            wrong.append(f"{secret} was due {_utc(due)}")
        else:
            last = found.get("LastRotatedDate")
            healthy.append(f"{secret} last {_utc(last)}" if last else f"{secret} not yet")
    return judge(
        wrong,
        "AWS calls the stack's function on schedule, and it succeeds",
        "pulumi up turns it on; why it failed is in the function's log group, and secretops status",
        "; ".join(healthy) or "no secret of the stack is rotated",
    )


def own_rights(account: Account) -> Result:
    """Check that the caller may do what an operator does."""
    caller = account.principal(account.identity["Arn"])
    return _rights(account, {caller: [*account.names, account.location.lease]}, OPERATES)


def readers_rights(account: Account) -> Result:
    """Check that each role that the stack declares may read its secrets."""
    who: dict[str, list[str]] = {}
    for name in account.names:
        for reader in account.location.readers.get(name, ()):
            if ":role/" in reader:
                who.setdefault(reader, []).append(name)
    return _rights(account, who, READS) if who else ok("the stack declares none by its ARN")


def rotators_rights(account: Account, rotated: Collection[str]) -> Result:
    """Check that the role of each function that AWS calls may rotate, and take the lease."""
    described = {name: account.secrets[name] for name in rotated}
    functions = {name: found.get("RotationLambdaARN", "") for name, found in described.items() if found}
    roles = {name: _role_of(account, function) for name, function in functions.items() if function}
    if gone := [functions[name] for name, role in roles.items() if role is None]:
        rule = "AWS calls it to rotate the secret that names it"
        return attention(f"no function {', '.join(gone)}", rule, "pulumi up makes it again")
    who: dict[str, list[str]] = {}
    for name, role in roles.items():
        who.setdefault(str(role), [account.location.lease]).append(name)
    return _rights(account, who, OPERATES) if who else ok("no secret has a function")


def _role_of(account: Account, function: str) -> str | None:
    with account.asking("lambda:GetFunctionConfiguration"):
        try:
            return str(account.client("lambda").get_function_configuration(FunctionName=function)["Role"])
        except ClientError as error:
            if errors.code(error) == "ResourceNotFoundException":
                return None
            raise


def _rights(account: Account, who: Mapping[str, list[str]], actions: tuple[str, ...]) -> Result:
    table = account.location.lease
    if missing := [name for names in who.values() for name in names if name != table and account.secrets[name] is None]:
        return unknown(f"{missing[0]} is not there", "rights are asked of what is there", "pulumi up, then look again")
    return judge(
        _lacking(account, who, actions),
        f"it may {', '.join(actions)} by its own policies (SimulatePrincipalPolicy)",
        "pulumi up grants it to the stack's roles; for yourself ask whoever runs the account",
        f"{', '.join(sorted(each.rpartition('/')[2] for each in who))}: {', '.join(actions)}",
    )


def _lacking(account: Account, who: Mapping[str, list[str]], actions: tuple[str, ...]) -> Iterator[str]:
    for principal, names in sorted(who.items()):
        if principal.endswith(":root"):
            raise StoreError("the account's root user", rule="policies say nothing of it", remedy="use a role instead")
        for name in names:
            if denied := account.denied(principal, name, LOCKS if name == account.location.lease else actions):
                yield f"{principal} may not {', '.join(denied)} on {name}"


def alarms(account: Account) -> Result:
    """Check that there are alarms, that each is on, and that somebody confirmed a subscription to them."""
    topic = account.location.alerts
    if not topic:
        return ok("not looked at: the manifest names no topic; pulumi up writes it anew")
    account.reach()
    rule = "what CloudTrail and the functions show is told by alarms, to whoever has confirmed a subscription"
    found = account.all("cloudwatch:DescribeAlarms", "MetricAlarms", ActionPrefix=topic)
    if not found:
        return attention(f"no alarm tells {topic}", rule, "pulumi up makes them")
    if off := [each["AlarmName"] for each in found if not each.get("ActionsEnabled", True)]:
        remedy = f"aws cloudwatch enable-alarm-actions --alarm-names {off[0]}"
        return attention(f"{', '.join(off)}: silenced", rule, remedy)
    subscriptions = account.all("sns:ListSubscriptionsByTopic", "Subscriptions", TopicArn=topic)
    if confirmed := [each for each in subscriptions if each["SubscriptionArn"] != UNCONFIRMED]:
        return ok(f"{len(found)} alarms, {len(confirmed)} told")
    waiting = f"{len(subscriptions)} subscriptions wait to be confirmed"
    return attention(
        f"{len(found)} alarms, and nobody is told: {waiting if subscriptions else 'the topic has no subscription'}",
        rule,
        "confirm the mail that AWS sent to each of store.alert_emails; or name some there, then pulumi up",
    )


def _utc(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
