"""Doctor's checks of an AWS stack.

IAM's SimulatePrincipalPolicy evaluates the rights:
https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from secretops.check import (
    Check,
    Repair,
    Result,
    attention,
    clock_skew,
    expired_lease,
    judge,
    ok,
    poll,
    reached,
    table,
    undeclared_secrets,
    unknown,
)
from secretops.errors import StoreError
from secretops.formats import counted
from secretops.platform import OpenedStack
from secretops.platforms.aws import errors
from secretops.platforms.aws.api import CURRENT, PENDING, version_with
from secretops.platforms.aws.checks.account import Account
from secretops.platforms.aws.checks.cloudtrail import audit
from secretops.platforms.aws.labels import LabelState
from secretops.platforms.aws.store import STUCK_AFTER, aws_store
from secretops.stores.lease import Timing

# A rotation is late this long after its date. AWS rotates within a window of hours, which the stack sets.
LATE = timedelta(days=1)
# ARN of an unconfirmed subscription.
UNCONFIRMED = "PendingConfirmation"
READS = ("secretsmanager:GetSecretValue",)
# Actions of `secretops put`, `status` and `tick`, and of a rotation, on each secret and on the lease's table.
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
            "clock": lambda it: clock_skew(
                it.ahead, "AWS", ", and AWS rejects requests from a clock that is five minutes off"
            ),
            "secrets": secrets,
            "unknown secrets": unknown_secrets,
            "keys": keys,
            "lease": partial(lease, take_over=tick),
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
    region, found = account.location.region, account.secrets
    if missing := [name for name, secret in found.items() if secret is None]:
        return attention(
            f"missing in {region}, account {account.identity['Account']}: {', '.join(missing)}",
            "the stack's secrets must exist; `pulumi up` creates them",
            "pulumi up",
        )
    leaving = {name: date for name, secret in found.items() if secret and (date := secret.get("DeletedDate"))}
    if not leaving:
        return ok(f"{len(found)} in {region}")

    def restore() -> str:
        for name in leaving:
            account.call("secretsmanager:RestoreSecret", SecretId=name)
        return f"{', '.join(leaving)}: restored"

    return attention(
        "; ".join(f"{name}: scheduled for deletion on {_utc(date)}" for name, date in leaving.items()),
        "a secret must not be deleted while the stack uses it: nobody can read its value, or reuse its name",
        f"aws secretsmanager restore-secret --region {region} --secret-id {next(iter(leaving))}, then pulumi "
        "up (CloudTrail shows who deleted the secret); or use new names: increase store.generation",
        Repair(f"restore-secret: restore {', '.join(leaving)}", restore),
    )


def unknown_secrets(account: Account) -> Result:
    """Find secrets that have the stack's prefix, but are not in the stack."""
    found = account.undeclared()
    leaving = (
        f"{name} is deleted on {_utc(date)}, and its name is in use until then" for name, date in found.items() if date
    )
    if staying := [name for name, date in found.items() if date is None]:
        delete = f"aws secretsmanager delete-secret --region {account.location.region} --secret-id {staying[0]}"
        return undeclared_secrets(
            staying,
            "in Secrets Manager under the stack's prefix, but not declared in the stack",
            f"{delete} (restore-secret undoes this for 30 days)",
        )
    return ok("; ".join(leaving) or "none")


def keys(account: Account) -> Result:
    used: dict[str, list[str]] = {}
    for name, described in account.secrets.items():
        if described and (key := described.get("KmsKeyId")):
            used.setdefault(key, []).append(name)
    states = {key: account.call("kms:DescribeKey", KeyId=key)["KeyMetadata"]["KeyState"] for key in used}
    wrong = {key: state for key, state in states.items() if state != "Enabled"}
    if not wrong:
        return ok(f"{len(used)} of the stack, enabled" if used else "AWS' own")
    key = next(iter(wrong))
    which = f"--region {account.location.region} --key-id {key}"
    cancel = f"aws kms cancel-key-deletion {which}; then: " if "Deletion" in wrong[key] else ""
    return attention(
        "; ".join(f"KMS key {key} of {', '.join(used[key])} is {state}" for key, state in wrong.items()),
        "a KMS key must be enabled: without it nobody can read a secret, and deletion of the key loses the values",
        f"{cancel}aws kms enable-key {which}; CloudTrail shows who changed the key",
    )


def lease(account: Account, timing: Timing | None = None, take_over: Repair | None = None) -> Result:
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
    return expired_lease(since, timing.duration, take_over, "was killed, or has no network,")


def pending(account: Account, stack: OpenedStack, tick: Repair, rotated: Collection[str]) -> Result:
    """Find secrets with an AWSPENDING version older than STUCK_AFTER, which blocks rotations by AWS.

    `rotated`: full names of the secrets whose values only secretops creates.
    """
    wrong, rules, remedies, under_way, strays, repair = [], [], [], [], dict[str, str](), None
    for name in account.names:
        labels = account.labels(name)
        version = version_with(labels, PENDING)
        if version is None or CURRENT in labels[version]:
            continue
        ours = LabelState(labels).versions.pending
        created = ours.created if ours else _created_at(account, name, version)
        if created is None:  # the rotation has ended meanwhile
            continue
        if datetime.now(UTC) - created < STUCK_AFTER:
            under_way.append(name)
        elif ours:
            wrong.append(f"{name}: pending version {version} has been unfinished since {_utc(created)}")
            rules.append("secretops must publish or discard a pending version within two ticks")
            remedies.append("secretops tick finishes the rotation, or prints why it fails")
            repair = tick
        else:
            what = f"version {version}, which is empty or was not written by secretops"
            wrong.append(f"{name}: since {_utc(created)}, AWSPENDING has been on {what}")
            rules.append(
                "AWSPENDING must be on the version with AWSCURRENT or on no version: otherwise AWS starts no rotation"
                if name in rotated
                else "only secretops may put AWSPENDING on a version of a secret that an operator supplies"
            )
            remedies.append(_release_command(account, name, version, is_ours=name in rotated))
            strays |= {name: version} if name in rotated else {}

    def release_strays() -> str:
        with stack.lease("doctor --repair"):
            store = aws_store(stack.store)
            released = [name for name, version in strays.items() if store.release_pending(name, version)]
        return f"removed AWSPENDING from {', '.join(released) or 'none: the label has moved'}"

    return judge(
        wrong,
        "; ".join(dict.fromkeys(rules)),
        "; ".join(dict.fromkeys(remedies)),
        f"under way: {', '.join(under_way)}" if under_way else "none is left",
        Repair(f"remove AWSPENDING from {', '.join(strays)}", release_strays) if strays else repair,
    )


def _created_at(account: Account, name: str, version: str) -> datetime | None:
    found = account.call("secretsmanager:ListSecretVersionIds", SecretId=name, MaxResults=100)["Versions"]
    return next((each["CreatedDate"] for each in found if each["VersionId"] == version), None)


def _release_command(account: Account, name: str, version: str, *, is_ours: bool) -> str:
    aws, which = "aws secretsmanager", f"--region {account.location.region} --secret-id {name}"
    away = f"{aws} update-secret-version-stage {which} --version-stage AWSPENDING --remove-from-version-id {version}"
    if not is_ours:
        return (
            "CloudTrail shows who put AWSPENDING on the version; if nobody needs the version, remove the label (AWS "
            f"later deletes versions without labels): {away}"
        )
    return (
        f"the rotation function's log shows why it did not write the version; remove the label: {away}; "
        f"then: {aws} rotate-secret {which}"
    )


def rotation(account: Account, rotated: Mapping[str, str]) -> Result:
    """Check that AWS rotates secrets on schedule. `rotated`: each secret's full name, or "" if AWS has no such
    secret."""
    wrong, healthy = [], []
    for secret, name in rotated.items():
        found = account.secrets[name] if name else None
        if found is None:
            wrong.append(f"{secret} does not exist")
        elif not found.get("RotationEnabled"):
            wrong.append(f"the rotation of {secret} is not enabled")
        elif (due := found.get("NextRotationDate")) and datetime.now(UTC) - due > LATE:
            wrong.append(f"the rotation of {secret} was due {_utc(due)}")
        else:
            last = found.get("LastRotatedDate")
            healthy.append(f"{secret} was last rotated {_utc(last)}" if last else f"{secret} was not rotated yet")
    return judge(
        wrong,
        "AWS must call the stack's rotation function on schedule, and the function must succeed",
        "pulumi up creates a missing secret and enables rotation; secretops status and the rotation function's log "
        "group show why a rotation failed",
        "; ".join(healthy) or "no secret of the stack is rotated",
    )


def own_rights(account: Account) -> Result:
    caller = account.principal(account.identity["Arn"])
    return _rights(account, {caller: [*account.names, account.location.lease]}, OPERATES)


def readers_rights(account: Account) -> Result:
    who: dict[str, list[str]] = {}
    for name in account.names:
        for reader in account.location.readers.get(name, ()):
            if ":role/" in reader:
                who.setdefault(reader, []).append(name)
    return _rights(account, who, READS) if who else ok("no role is declared by its ARN")


def rotators_rights(account: Account, rotated: Collection[str]) -> Result:
    described = {name: account.secrets[name] for name in rotated}
    functions = {name: found.get("RotationLambdaARN", "") for name, found in described.items() if found}
    roles = {name: _role_of(account, function) for name, function in functions.items() if function}
    if gone := [functions[name] for name, role in roles.items() if role is None]:
        rule = "the Lambda function must exist: AWS calls this function to rotate the secret"
        return attention(f"Lambda function {', '.join(gone)} does not exist", rule, "pulumi up")
    who: dict[str, list[str]] = {}
    for name, role in roles.items():
        who.setdefault(str(role), [account.location.lease]).append(name)
    return _rights(account, who, OPERATES) if who else ok("no secret has a function")


def _role_of(account: Account, function: str) -> str | None:
    try:
        return str(account.call("lambda:GetFunctionConfiguration", FunctionName=function)["Role"])
    except errors.AbsentError:
        return None


def _rights(account: Account, who: Mapping[str, list[str]], actions: tuple[str, ...]) -> Result:
    table = account.location.lease
    if missing := [name for names in who.values() for name in names if name != table and account.secrets[name] is None]:
        return unknown(
            f"{missing[0]} is missing", "a secret must exist before rights on it can be checked", "pulumi up"
        )
    return judge(
        _lacking(account, who, actions),
        f"the IAM policies of each principal must allow {', '.join(actions)}"
        + (f" on a secret, and {', '.join(LOCKS)} on the lease's table" if actions == OPERATES else "")
        + " (as IAM simulates; a secret's own policy is not checked)",
        "pulumi up grants these rights to the stack's roles; for yourself request the rights from the owner of the "
        "account",
        f"{', '.join(sorted(each.rpartition('/')[2] for each in who))}: {', '.join(actions)}",
    )


def _lacking(account: Account, who: Mapping[str, list[str]], actions: tuple[str, ...]) -> Iterator[str]:
    for principal, names in sorted(who.items()):
        if principal.endswith(":root"):
            raise StoreError(
                "the caller is the account's root user",
                rule="the caller must not be the root user: IAM policies do not apply to a root user, so a root "
                "user's rights can't be checked",
                remedy="log in as a role, then check: aws sts get-caller-identity",
                code="aws-root-user",
            )
        for name in names:
            if denied := account.denied(principal, name, LOCKS if name == account.location.lease else actions):
                yield f"{principal} may not {', '.join(denied)} on {name}"


def alarms(account: Account) -> Result:
    topic = account.location.alerts
    if not topic:
        return ok("not checked: the manifest names no SNS topic; pulumi up writes a new manifest")
    account.reach()
    rule = "the stack's alarms must be enabled, and notify an SNS topic with a confirmed subscription"
    found = account.list_all("cloudwatch:DescribeAlarms", "MetricAlarms", ActionPrefix=topic)
    if not found:
        return attention(f"no alarm notifies {topic}", rule, "pulumi up creates the alarms")
    if off := [each["AlarmName"] for each in found if not each.get("ActionsEnabled", True)]:
        names = " ".join(off)
        remedy = f"aws cloudwatch enable-alarm-actions --region {account.location.region} --alarm-names {names}"
        return attention(f"the actions of alarm {', '.join(off)} are disabled", rule, remedy)
    subscriptions = account.list_all("sns:ListSubscriptionsByTopic", "Subscriptions", TopicArn=topic)
    if confirmed := [each for each in subscriptions if each["SubscriptionArn"] != UNCONFIRMED]:
        return ok(
            f"{counted(len(found), 'alarm', 'alarms')}, "
            f"{counted(len(confirmed), 'confirmed subscription', 'confirmed subscriptions')}"
        )
    waiting = f"no subscription of {topic} is confirmed" if subscriptions else f"{topic} has no subscription"
    return attention(
        f"{counted(len(found), 'alarm notifies', 'alarms notify')} nobody: {waiting}",
        rule,
        "confirm the subscription by the link in the mail from AWS, at each address of store.alert_emails; or add "
        "addresses to store.alert_emails, then pulumi up",
    )


def _utc(time: Any) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
