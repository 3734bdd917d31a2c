"""What a stack's region does for it beside keeping its secrets: the time, the keys, and who is told of alarms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from secretops.check import Result, attention, ok
from secretops.platforms.aws.checks.account import Account

SKEW = timedelta(seconds=60)
"""How far this machine's clock may be from AWS': versions are named by their time. From five minutes on AWS refuses."""

UNCONFIRMED = "PendingConfirmation"
"""Instead of the ARN of a subscription that nobody has confirmed yet."""


@dataclass(frozen=True)
class ClockTogether:
    """This machine and AWS agree on the time."""

    account: Account
    name: str = "clock"

    def look(self) -> Result:
        self.account.reach()
        if self.account.said_at is None:
            return ok("not seen: AWS' answer has no date")
        ahead = datetime.now(UTC) - self.account.said_at
        if abs(ahead) > SKEW:
            return attention(
                f"this machine is {abs(ahead).total_seconds():.0f} s {'ahead of' if ahead > SKEW else 'behind'} AWS",
                f"within {SKEW.seconds} s: versions are named by their time, and AWS refuses who is five minutes off",
                "let this machine take its time from NTP",
            )
        return ok("as AWS'")


@dataclass(frozen=True)
class KeysServe:
    """The keys that the secrets are encrypted under are on, and are going to stay: without one no value is read."""

    account: Account
    name: str = "keys"

    def look(self) -> Result:
        used: dict[str, list[str]] = {}
        for name in self.account.names:
            described = self.account.secret(name)
            if described and (key := described.get("KmsKeyId")):
                used.setdefault(key, []).append(name)
        states = {key: self._state(key) for key in used}
        if wrong := {key: state for key, state in states.items() if state != "Enabled"}:
            key = next(iter(wrong))
            back = "cancel-key-deletion, then aws kms enable-key" if "Deletion" in wrong[key] else "enable-key"
            return attention(
                "; ".join(f"key {key} of {', '.join(used[key])} is {state}" for key, state in wrong.items()),
                "a secret whose key is off or gone is read by nobody, and a key that is gone takes its values along",
                f"aws kms {back} --key-id {key}; CloudTrail says who did it",
            )
        return ok(f"{len(used)} of the stack's own, on" if used else "AWS' own")

    def _state(self, key: str) -> str:
        with self.account.told("kms:DescribeKey"):
            return str(self.account.client("kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])


@dataclass(frozen=True)
class AlarmsTold:
    """There are alarms, each is on, and somebody has confirmed that they are to be told."""

    account: Account
    name: str = "alarms"

    def look(self) -> Result:
        topic = self.account.location.alerts
        if not topic:
            return ok("not looked at: the manifest names no topic; pulumi up writes it anew")
        self.account.reach()
        rule = "what CloudTrail and the functions show is told by alarms, to whoever has confirmed a subscription"
        with self.account.told("cloudwatch:DescribeAlarms"):
            pages = self.account.client("cloudwatch").get_paginator("describe_alarms").paginate(ActionPrefix=topic)
            alarms = [each for page in pages for each in page["MetricAlarms"]]
        if not alarms:
            return attention(f"no alarm tells {topic}", rule, "pulumi up makes them")
        if off := [each["AlarmName"] for each in alarms if not each.get("ActionsEnabled", True)]:
            return attention(
                f"{', '.join(off)}: silenced", rule, f"aws cloudwatch enable-alarm-actions --alarm-names {off[0]}"
            )
        with self.account.told("sns:ListSubscriptionsByTopic"):
            pages = self.account.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
            told = [each["SubscriptionArn"] for page in pages for each in page["Subscriptions"]]
        if confirmed := [each for each in told if each != UNCONFIRMED]:
            return ok(f"{len(alarms)} alarms, {len(confirmed)} told")
        return attention(
            f"{len(alarms)} alarms, and nobody is told: "
            + (f"{len(told)} subscriptions wait to be confirmed" if told else "the topic has no subscription"),
            rule,
            "confirm the mail that AWS sent to each of store.alert_emails; or name some there, then pulumi up",
        )
