"""The Lambda functions. Secrets Manager calls `rotate` for each step of a rotation; EventBridge calls `tick` hourly.

Each step runs the rotation engine, with AWS' token as the version's id. AWS retries a step that raised an exception.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import os
import re
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3  # noqa: F401 - Lambda loads it at start, like the imports below

from secretops import redaction
from secretops.engine.decisions import Reason
from secretops.engine.rotation import Rotation
from secretops.engine.state import Version
from secretops.errors import ExitCode, LeaseHeldError, NotFoundError, RefusedError, SecretopsError, UsageError
from secretops.manifest import Manifest, Secret
from secretops.operations import broker_access, rotators
from secretops.operations import tick as tick_operation
from secretops.operations.session import Session
from secretops.operations.tick import Outcome
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.aws.platform import PLATFORM
from secretops.platforms.aws.store import aws_store
from secretops.redaction import redact
from secretops.stores.retry import Retries

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

# Variable with the stack's manifest. All variables of a function together have at most 4 KB.
MANIFEST = "SECRETOPS_MANIFEST_JSON"
# File in the package with a longer manifest; the variable is then not set.
MANIFEST_FILE = "secretops.json"
# AWS appends a dash and six characters to the name of the secret.
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[^:]*:\d*:secret:(.+)-\w{6}")
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
# Metrics of a tick: numbers of secrets; Finished is 1. Their namespace is the project, their dimension is Stack.
METRICS = ("Failed", "Attention", "Overdue", "Finished")
# Seconds to wait for the lease. Another tick or command holds it only for seconds; AWS repeats a failed step later.
LEASE_SECONDS = 60.0
# Seconds between two attempts to acquire the lease.
RETRY_SECONDS = 1.0
_log = logging.getLogger("secretops")


class LambdaError(Exception):
    """An error that AWS may log. It has no cause, since the text of a cause could contain a secret value."""


def rotate(event: Mapping[str, Any], _context: object) -> None:
    """Run one step of a rotation. Does nothing if it is already complete. Raises LambdaError.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
    """
    step, token, full_name = (str(event.get(key) or "") for key in ("Step", "ClientRequestToken", "SecretId"))
    with _reported(step, version=token):
        if step not in STEPS or not token or not full_name:
            raise UsageError(
                f"invalid event: Step {step or 'missing'}, SecretId {full_name or 'missing'}, "
                f"ClientRequestToken {token or 'missing'}",
                rule=f"Step, SecretId and ClientRequestToken must be set, and Step must be one of {', '.join(STEPS)}",
                remedy="start a rotation: aws secretsmanager rotate-secret --secret-id NAME",
                code="lambda-event-invalid",
            )
        session = _session()
        secret = _rotated_secret(session, full_name)
        with _lease(session, f"{step} {secret.name}"):
            described = _describe(session, secret.name)
            _check_rotation(described, step)
            current = session.facts(secret).versions.current
            if current and current.id == token:
                # An earlier run moved the label, and may have crashed afterwards.
                session.store.recover(secret.name, session.clock())
            else:
                _check_pending(secret, described, token)
                _run_step(step, session, secret, token)


def tick(_event: object, _context: object) -> dict[str, Any]:
    """Finish rotations, retire versions, and report expired or overdue secrets. AWS' schedule starts rotations.

    Raises LambdaError after the last secret, if one failed.
    """
    with _reported("tick"):
        session = _session()
        try:
            outcomes = tick_operation.tick(session, scheduled=_Scheduled(session))
        except LeaseHeldError as error:  # a failure would leave the event in the dead-letter queue
            _log.warning("tick: the next tick does the work: %s", redact(str(error)))
            return {"lease": [redact(error.what)]}
        print(json.dumps(_metrics(session, outcomes)), flush=True)  # noqa: T201 - CloudWatch reads metrics from a log line
        for outcome in outcomes:
            notes = [*outcome.done, *outcome.attention, *outcome.waiting]
            level = logging.WARNING if outcome.attention else logging.INFO
            _log.log(level, "%s: %s", outcome.secret, "; ".join(notes) or "nothing to do")
        code = tick_operation.exit_code(outcomes)
        if code not in (ExitCode.DONE, ExitCode.ATTENTION, ExitCode.WAITING):
            raise SecretopsError("\n".join(str(one.error) for one in outcomes if one.error), code="tick-failed")
        return {
            one.secret: [*one.done, *one.attention, *one.waiting, *([redact(one.error.what)] if one.error else [])]
            for one in outcomes
        }


def _run_step(step: str, session: Session, secret: Secret, token: str) -> None:
    match step:
        case "createSecret":
            session.store.recover(secret.name, session.clock())
            rotators.rotation(session, secret, waits=True).prepare(token=token)
        case "setSecret":
            rotation = rotators.rotation(session, secret)
            rotation.apply(_prepared(rotation, secret, token))
        case "testSecret":
            # At the first `pulumi up` AWS runs only this step, on an empty version. No secret has a value then, not
            # even the certificate that a broker may require.
            versions = session.facts(secret).versions
            pending = versions.pending
            if tested := pending if pending and pending.id == token else versions.current:
                rotators.rotation(session, secret).verify(tested)
        case _:
            rotation = rotators.rotation(session, secret)
            version = _prepared(rotation, secret, token)
            if not version.verified:
                rotation.verify(version)
            rotation.publish(version)
            broker_access.hint(session, secret, version.id)


def _prepared(rotation: Rotation, secret: Secret, token: str) -> Version:
    if version := rotation.prepared(token):
        return version
    raise NotFoundError(
        f"{secret.name}: version {token} has no value",
        rule="the step createSecret, which creates the value, must run first; a new rotation starts with this step",
        remedy=f"secretops rotate {secret.name}",
        code="version-value-missing",
    )


def _rotated_secret(session: Session, secret_id: str) -> Secret:
    full_name = _ARN.sub(r"\1", secret_id)
    region = _location(session).region
    cancel = f"stop its rotation: aws secretsmanager cancel-rotate-secret --region {region} --secret-id {full_name}"
    names = {full: name for name, full in _location(session).secrets.items()}
    if full_name not in names:
        raise UsageError(
            f"{full_name} is not a secret of stack {session.manifest.stack}",
            rule="a rotation function may only rotate secrets of its own stack",
            remedy=cancel,
            code="secret-unknown",
        )
    secret = session.secret(names[full_name])
    if not secret.kind.alternates:
        raise UsageError(
            f"{secret.name}: secretops does not create values of kind {secret.kind}",
            rule="an operator must supply the values of this secret, so AWS must not rotate the secret; nothing was "
            "changed",
            remedy=f"{cancel}; for a new value: secretops put {secret.name}",
            code="secret-not-rotated",
        )
    return secret


def _check_rotation(described: DescribeSecretResponseTypeDef, step: str) -> None:
    """Raise RefusedError if AWS does not rotate the secret."""
    enabled = described.get("RotationEnabled")
    # While AWS enables rotation it runs testSecret, which changes nothing, and RotationEnabled is still null:
    # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
    if not enabled and not (enabled is None and step == "testSecret"):
        raise RefusedError(
            f"{described['Name']}: rotation is not enabled",
            rule="the secret's rotation must be enabled in Secrets Manager",
            remedy="pulumi up, which enables it",
            code="rotation-disabled",
        )


def _check_pending(secret: Secret, described: DescribeSecretResponseTypeDef, token: str) -> None:
    if "AWSPENDING" not in described.get("VersionIdsToStages", {}).get(token, ()):
        raise RefusedError(
            f"{secret.name}: version {token} is not the pending version",
            rule="the version must have the label AWSPENDING, which was moved to another version or removed",
            remedy=f"secretops status; if {secret.name} is overdue there: secretops rotate {secret.name}",
            code="version-not-pending",
        )


@contextmanager
def _lease(session: Session, command: str) -> Iterator[None]:
    """Hold the store's lease during the block. Raises LeaseHeldError if it is not free within LEASE_SECONDS."""
    # Wait here: AWS does not document when it repeats a failed step.
    retries = Retries(itertools.repeat(RETRY_SECONDS), seconds=LEASE_SECONDS + RETRY_SECONDS)
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(session.lease(command))
                break
            except LeaseHeldError:
                if not retries.pause():
                    raise
        yield


@contextmanager
def _reported(what: str, **names: str) -> Iterator[None]:
    """Log the outcome of the block, with `names` as fields. Raise LambdaError instead of any other error."""
    redaction.install()
    try:
        yield
    except SecretopsError as error:
        message = f"{type(error).__name__}: {redact(str(error))}"
    except Exception as error:
        _log.error("unexpected\n%s", redact(traceback.format_exc()), extra=names)
        message = f"an unexpected {type(error).__name__}: the log has the traceback"
    else:
        _log.info("%s: done", what, extra=names)
        return
    _log.error("%s: %s", what, message, extra=names)
    raise LambdaError(message) from None


def _metrics(session: Session, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the outcomes as metrics in CloudWatch's embedded metric format.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    manifest = session.manifest
    expected = (ExitCode.WAITING, ExitCode.ATTENTION)
    counts = (
        sum(one.error is not None and one.error.exit_code not in expected for one in outcomes),
        sum(bool(one.attention) or one.exit_code is ExitCode.ATTENTION for one in outcomes),
        sum(Reason.OVERDUE in one.reasons for one in outcomes),
        1,
    )
    metrics = [{"Name": name, "Unit": "Count"} for name in METRICS]
    directive = {"Namespace": manifest.project, "Dimensions": [["Stack"]], "Metrics": metrics}
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "Stack": manifest.stack,
        **dict(zip(METRICS, counts, strict=True)),
    }


class _Scheduled:
    """The secrets that AWS rotates on schedule, for the operator `in`. Excludes unreadable secrets, so that the tick
    reports them."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __contains__(self, secret: object) -> bool:
        if str(secret) not in _location(self._session).secrets:
            return False
        try:
            return bool(_describe(self._session, str(secret)).get("RotationEnabled"))
        except SecretopsError:
            return False


def _describe(session: Session, secret: str) -> DescribeSecretResponseTypeDef:
    return aws_store(session.store).api.describe(_location(session).secrets[secret])


def _location(session: Session) -> AwsStoreLocation:
    return PLATFORM.of(session.manifest)


@functools.cache
def _session() -> Session:
    redaction.forbid_core_dumps()
    text, source = os.environ.get(MANIFEST), f"${MANIFEST}"
    if not text:
        file = Path(os.environ.get("LAMBDA_TASK_ROOT", "")) / MANIFEST_FILE
        try:
            text, source = file.read_text(encoding="utf-8"), str(file)
        except (OSError, ValueError):
            raise UsageError(
                f"no manifest in ${MANIFEST} or {file}",
                rule="the function must have the stack's manifest, which `pulumi up` puts into the function's package "
                "or variable",
                remedy="build the package again (make lambda), then pulumi up",
                code="manifest-missing",
            ) from None
    return Session.open(Manifest.parse(text, source), role="rotator")
