"""A stack in Secrets Manager (the stand-in tests/real/strict_secrets_manager) over a real broker.

This module calls the rotation functions in place of Secrets Manager, because moto calls none without Docker.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar
from unittest import mock

from secretops.engine.state import Version
from secretops.manifest import Broker, Manifest, Reader
from secretops.operations.session import Session
from secretops.platforms.aws import lambda_handler
from secretops.platforms.aws.api import SecretsManagerApi
from secretops.platforms.aws.lease import LeaseTable
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.aws.store import SecretsManagerVersionStore
from secretops.stores.lease import Timing
from secretops.values import Value
from tests.real.cloud_stack import Attempt, Calls, CloudStack, Event
from tests.real.moto import ACCOUNT, REGION, Aws
from tests.real.stack import make_catalog
from tests.real.strict_secrets_manager import CURRENT, PENDING, StrictSecretsManager

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
# Lease timing: a test waits this long for a killed holder; a renewal may take two thirds of it on a slow machine.
QUICK = Timing(duration=6, renew=0.5, poll=0.1)

RETIRED_LABEL = re.compile(r"\.r\d{8}T")  # Label of secretops that records when its version was retired.


@dataclass
class AwsStack(CloudStack):
    """A stack of the AWS store. Its Lambda functions are called in this process."""

    aws: Aws = field(default_factory=lambda: Aws(""))
    drops_pending: bool = False  # Whether AWSPENDING is removed when its version becomes AWSCURRENT: AWS may do so.
    timing: Timing = QUICK

    writes: ClassVar[Calls] = (
        (StrictSecretsManager, "put_secret_value"),
        (StrictSecretsManager, "update_secret_version_stage"),
    )
    lease_is_quick: ClassVar[bool] = False  # the next holder waits until it expires

    @property
    def place(self) -> AwsStoreLocation:
        assert isinstance(self.manifest.store, AwsStoreLocation)
        return self.manifest.store

    @property
    def service(self) -> StrictSecretsManager:
        return StrictSecretsManager(self.aws.secrets_manager, current_drops_pending=self.drops_pending)

    def session(self, role: str = "operator") -> Session:
        api = SecretsManagerApi(self.place.region, lambda _region: self.service)  # type: ignore[arg-type,return-value]
        table = LeaseTable(self.place.lease, self.aws.dynamodb)
        store = SecretsManagerVersionStore(
            self.place, api, table=table, log_entries=role == "rotator", timing=self.timing
        )
        return Session(manifest=self.manifest, store=store, journal=store.journal, clock=self.clock)

    def begin(self, name: str = "mqtt", *, cancelled: bool = False) -> str:
        """Call RotateSecret, and return the token. `cancelled`: an operator has cancelled the previous rotation by
        removing its label."""
        full = self.place.secrets[name]
        secret = self.service._kept(full)
        secret.rotation_requested = secret.rotation_enabled = True
        if cancelled:
            secret.remove_version_stages_from_old_versions([PENDING])
        return str(self.service.rotate_secret(SecretId=full)["VersionId"])

    def cancel(self, name: str = "mqtt") -> None:
        self.service._kept(self.place.secrets[name]).rotation_enabled = False

    def event(self, step: str, token: str, name: str = "mqtt") -> dict[str, str]:
        arn = self.service.describe_secret(SecretId=self.place.secrets[name])["ARN"]
        return {"Step": step, "SecretId": arn, "ClientRequestToken": token}

    def step(self, step: str, token: str, name: str = "mqtt") -> None:
        self.call(self.event(step, token, name))

    def call(self, event: dict[str, str]) -> None:
        with mock.patch.object(lambda_handler, "_session", lambda: self.session("rotator")):
            lambda_handler.rotate(event, None)

    def all_steps(self, token: str, name: str = "mqtt") -> None:
        for step in STEPS:
            self.step(step, token, name)

    def tick_function(self) -> dict[str, Any]:
        with mock.patch.object(lambda_handler, "_session", lambda: self.session("rotator")):
            return lambda_handler.tick({}, None)

    @property
    def source(self) -> str:
        readable = [secret.name for secret in self.manifest.secrets if Reader.SERVER in secret.readers]
        start = self.place.secrets["mqtt"].removesuffix("/mqtt")
        return f"aws-sm:{self.place.region}/{start}/{'+'.join(readable)}"

    def rotation(self, name: str = "mqtt") -> Attempt:
        """Start a rotation. Its four steps have a token, with which AWS resumes it after an interruption."""
        token = self.begin(name)
        events = tuple(self.event(step, token, name) for step in STEPS)
        return Attempt(events, events, token)

    def play(self, event: Event) -> None:
        if "Step" in event:
            self.call(dict(event))
        elif name := event.get("rotate"):
            self.rotate(name)
        else:
            self.tick_function()

    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        label = str(named.get("VersionStage", ""))
        if label.startswith("AWS"):
            return f"{name} {label}"
        return f"{name} of a retired one" if RETIRED_LABEL.search(label) else name

    def is_leased(self) -> bool:
        return LeaseTable(self.place.lease, self.aws.dynamodb).read().record is not None

    def spoil(self, name: str, field: str, text: str) -> Callable[[], None]:
        """Edit a value as the console's "Edit" does. Return a function that moves AWSCURRENT back."""
        full = self.place.secrets[name]
        old = self.service.get_secret_value(SecretId=full)
        made = self.service.put_secret_value(
            SecretId=full, SecretString=json.dumps({**json.loads(old["SecretString"]), field: text})
        )
        moves = {"RemoveFromVersionId": made["VersionId"], "MoveToVersionId": old["VersionId"]}

        def mend() -> None:
            self.service.update_secret_version_stage(SecretId=full, VersionStage=CURRENT, **moves)

        return mend

    def values(self) -> dict[str, dict[str, str]]:
        """Return the versions with a label. AWS may delete the others at any time, and secretops discards by removing
        labels."""
        found: dict[str, dict[str, str]] = {}
        for name in self.place.secrets.values():
            for version in self.service.describe_secret(SecretId=name).get("VersionIdsToStages", {}):
                with suppress(self.service.exceptions.ResourceNotFoundException):  # it has no value
                    supplied = self.service.get_secret_value(SecretId=name, VersionId=version)
                    found[f"{name} {version}"] = json.loads(supplied["SecretString"])
        return found

    def shown(self) -> dict[str, bytes]:
        names = self.place.secrets.values()
        return {name: json.dumps(self.service.describe_secret(SecretId=name), default=str).encode() for name in names}

    def labels(self, name: str = "mqtt") -> dict[str, set[str]]:
        """Return AWS' own labels, by version."""
        found = self.service.describe_secret(SecretId=self.place.secrets[name]).get("VersionIdsToStages", {})
        return {version: {one for one in has if one.startswith("AWS")} for version, has in found.items()}

    def labeled(self, stage: str, name: str = "mqtt") -> Value:
        found = self.service.get_secret_value(SecretId=self.place.secrets[name], VersionStage=stage)
        return Value(json.loads(found["SecretString"]))

    def delivered(self) -> Value:
        return self.labeled(CURRENT)

    def check_delivery(self, name: str, current: Version, kept: set[str]) -> None:  # noqa: ARG002 - AWS deletes them
        assert [version for version, has in self.labels(name).items() if CURRENT in has] == [current.id]


def make_aws_stack(broker: Broker, aws: Aws, *, drops_pending: bool = False) -> AwsStack:
    prefix, catalog = aws.prefix(), make_catalog()
    names = {secret.name: f"{prefix}/{secret.name}" for secret in catalog}
    fields = {secret.name: secret.fields for secret in catalog}
    store = AwsStoreLocation(account=ACCOUNT, region=REGION, secrets=names, fields=fields, lease=aws.make_lease(prefix))
    for name in names.values():
        aws.secrets_manager.create_secret(Name=name)
    manifest = Manifest(
        project="coreflux-mcp-secrets", stack="test", store=store, broker=broker, secrets=catalog, grace_seconds=30
    )
    return AwsStack(manifest, environment=aws.environment, reader=aws.environment, aws=aws, drops_pending=drops_pending)
