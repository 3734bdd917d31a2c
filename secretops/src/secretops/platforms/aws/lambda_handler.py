"""The Lambda functions: Secrets Manager calls one for each step of a rotation, EventBridge Scheduler the hourly tick.

The steps are the engine's, with AWS' token. Each failure is raised, so that AWS marks the attempt as failed and repeats
it.
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

import boto3  # noqa: F401 - while Lambda starts the function; the rest comes with the first call

from secretops import redaction
from secretops.errors import ExitCode, LeaseHeldError, NotFoundError, RefusedError, SecretopsError, UsageError
from secretops.stores.retry import Retries

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

    from secretops.engine.rotation import Rotation
    from secretops.engine.state import Version
    from secretops.manifest import Secret
    from secretops.operations.session import Session
    from secretops.operations.tick import Outcome
    from secretops.platforms.aws.location import AwsStoreLocation

# The variable with the stack's manifest. All of a function's variables together may have 4 KB.
MANIFEST = "SECRETOPS_MANIFEST_JSON"
# The file with it beside the code, for a long one; then the variable is not set.
MANIFEST_FILE = "secretops.json"
# AWS appends a dash and six characters to the name.
_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[^:]*:\d*:secret:(.+)-\w{6}")
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
# Numbers of secrets after a tick: metrics with the dimension Stack, in the namespace of the project.
METRICS = ("Failed", "Attention", "Overdue")
# How long a step waits for the lease of a tick or a command, which take seconds; AWS' next attempt takes longer.
LEASE_SECONDS = 60.0
# Seconds between two tries to acquire the lease.
ASK_AGAIN = 1.0
_log = logging.getLogger("secretops")


class LambdaError(Exception):
    """A failure as AWS shows it: value, rule and remedy, without a cause that could hold more."""


def rotate(event: Mapping[str, Any], _context: object) -> None:
    """Run one step of one rotation. Raises LambdaError. A step that is done does nothing.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
    """
    step, token, full_name = (str(event.get(key) or "") for key in ("Step", "ClientRequestToken", "SecretId"))
    with _told(step, version=token):
        _check_event(step, token, full_name)
        session = _session()
        secret = _rotated(session, full_name)
        with _lease(session, f"{step} {secret.name}"):
            described = _described(session, _location(session).secrets[secret.name])
            _refuse_unscheduled(described, step)
            current = session.facts(secret).versions.current
            if current and current.id == token:
                session.store.recover(secret.name, session.clock())  # a crash may have come after the move
            else:
                _refuse_another(secret, described, token)
                _take(step, session, secret, token)


def tick(_event: object, _context: object) -> dict[str, Any]:
    """Finish rotations, retire versions, report what expires or is late. AWS' own schedule begins rotations.

    Returns what was done. Raises LambdaError when a secret failed, after the others.
    """
    with _told("tick"):
        from secretops.operations import tick as operation

        session = _session()
        outcomes = operation.tick(session, scheduled=_Scheduled(session))
        print(json.dumps(_metrics(session, outcomes)), flush=True)  # noqa: T201 - CloudWatch reads metrics in a line
        for outcome in outcomes:
            said = [*outcome.done, *outcome.attention, *outcome.waiting]
            level = logging.WARNING if outcome.attention else logging.INFO
            _log.log(level, "%s: %s", outcome.secret, "; ".join(said) or "nothing to do")
        code = operation.exit_code(outcomes)
        if code not in (ExitCode.DONE, ExitCode.ATTENTION, ExitCode.WAITING):
            raise SecretopsError("\n".join(str(outcome.error) for outcome in outcomes if outcome.error))
        return {one.secret: [*one.done, *one.attention, *one.waiting, *_what(one.error)] for one in outcomes}


def _check_event(step: str, token: str, full_name: str) -> None:
    """Raise UsageError for an event that Secrets Manager does not send."""
    texts = {"SecretId": full_name, "ClientRequestToken": token, "Step": step}
    if missing := [key for key, text in texts.items() if not text]:
        raise UsageError(
            f"the event has no {', no '.join(missing)}",
            rule="Secrets Manager calls this function with SecretId, ClientRequestToken and Step",
            remedy="aws secretsmanager rotate-secret --secret-id NAME calls it",
        )
    if step not in STEPS:
        raise UsageError(f"{step}: unknown step", rule=f"one of {', '.join(STEPS)}")


def _take(step: str, session: Session, secret: Secret, token: str) -> None:
    from secretops.operations.broker_access import hint
    from secretops.operations.rotators import rotation

    match step:
        case "createSecret":
            session.store.recover(secret.name, session.clock())
            rotation(session, secret, waits=True).prepare(token=token)
        case "setSecret":
            made = rotation(session, secret)
            made.apply(_prepared(made, secret, token))
        case "testSecret":
            # At the first `pulumi up` AWS runs only this step, with a version without a value, when nothing has one,
            # not even the certificate that a broker may require.
            versions = session.facts(secret).versions
            pending = versions.pending
            if tested := pending if pending and pending.id == token else versions.current:
                rotation(session, secret).verify(tested)
        case _:
            made = rotation(session, secret)
            version = _prepared(made, secret, token)
            if not version.verified:
                made.verify(version)
            made.publish(version)
            hint(session, secret, version.id)


def _prepared(rotation: Rotation, secret: Secret, token: str) -> Version:
    if version := rotation.prepared(token):
        return version
    raise NotFoundError(
        f"{secret.name}: version {token} has no value",
        rule="createSecret makes it; AWS begins with that step again",
        remedy=f"aws secretsmanager rotate-secret, or secretops rotate {secret.name}",
    )


def _rotated(session: Session, secret_id: str) -> Secret:
    """Return the catalogue's secret with that name or ARN. Raises UsageError for one that secretops does not rotate."""
    full_name = _ARN.sub(r"\1", secret_id)
    names = {full: name for name, full in _location(session).secrets.items()}
    if full_name not in names:
        raise UsageError(
            f"{full_name}: none of the secrets of stack {session.manifest.stack}",
            remedy=f"aws secretsmanager cancel-rotate-secret --secret-id {full_name}",
        )
    secret = session.secret(names[full_name])
    if not secret.kind.alternates:
        raise UsageError(
            f"{secret.name}: secretops does not make values of kind {secret.kind}; the current one was not touched",
            rule="its values are supplied",
            remedy=f"secretops put {secret.name}, and aws secretsmanager cancel-rotate-secret --secret-id {full_name}",
        )
    return secret


def _refuse_unscheduled(described: DescribeSecretResponseTypeDef, step: str) -> None:
    """Raise RefusedError for a secret that AWS does not rotate.

    RotationEnabled is null for a secret that was never configured for rotation.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DescribeSecret.html
    RotateSecret runs testSecret while it configures rotation, and no page says that it is true by then: so testSecret,
    which changes nothing, accepts null.
    """
    enabled = described.get("RotationEnabled")
    if not enabled and not (enabled is None and step == "testSecret"):
        raise RefusedError(f"{described['Name']}: its rotation is not enabled", remedy="pulumi up enables it")


def _refuse_another(secret: Secret, described: DescribeSecretResponseTypeDef, token: str) -> None:
    if "AWSPENDING" not in described.get("VersionIdsToStages", {}).get(token, ()):
        raise RefusedError(
            f"{secret.name}: version {token} is not the pending one",
            rule="a step is for the version that has the label AWSPENDING; another rotation took its place",
            remedy="nothing to do, if that one ended well: secretops status",
        )


@contextmanager
def _lease(session: Session, command: str) -> Iterator[None]:
    """Hold the store's lease; wait for it, since AWS does not say when it repeats the step."""
    retries = Retries(itertools.repeat(ASK_AGAIN), seconds=LEASE_SECONDS + ASK_AGAIN)
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(session.lease(command))
                break
            except LeaseHeldError:
                if not retries.pause():
                    raise
        yield


@contextmanager
def _told(what: str, **names: str) -> Iterator[None]:
    """Log how `what` ended, with public `names` as fields, and raise what AWS may show."""
    redaction.install()
    try:
        yield
    except SecretopsError as error:
        told = f"{type(error).__name__}: {redaction.redact(str(error))}"
    except Exception as error:
        _log.error("unexpected\n%s", redaction.redact(traceback.format_exc()), extra=names)
        told = f"an unexpected {type(error).__name__}: the log has the traceback"
    else:
        _log.info("%s: done", what, extra=names)
        return
    _log.error("%s: %s", what, told, extra=names)
    raise LambdaError(told) from None


def _metrics(session: Session, outcomes: list[Outcome]) -> dict[str, Any]:
    """Return the tick in CloudWatch's embedded metric format.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    from secretops.engine.decisions import Reason

    manifest = session.manifest
    told = (ExitCode.WAITING, ExitCode.ATTENTION)
    counts = (
        sum(one.error is not None and one.error.exit_code not in told for one in outcomes),
        sum(bool(one.attention) or one.exit_code is ExitCode.ATTENTION for one in outcomes),
        sum(Reason.OVERDUE in one.reasons for one in outcomes),
    )
    directive = {
        "Namespace": manifest.project,
        "Dimensions": [["Stack"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in METRICS],
    }
    return {
        "_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]},
        "Stack": manifest.stack,
        **dict(zip(METRICS, counts, strict=True)),
    }


def _what(error: SecretopsError | None) -> list[str]:
    return [redaction.redact(error.what)] if error else []


class _Scheduled:
    """The secrets that AWS rotates when they are due. One that can't be read is none of them: the tick reports it."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __contains__(self, secret: object) -> bool:
        if (full_name := _location(self._session).secrets.get(str(secret))) is None:
            return False
        try:
            return bool(_described(self._session, full_name).get("RotationEnabled"))
        except SecretopsError:
            return False


def _described(session: Session, secret: str) -> DescribeSecretResponseTypeDef:
    """Return DescribeSecret's answer, which under the lease spares the store a request for the labels."""
    _location(session)
    from secretops.platforms.aws.rotation_setup import api_of

    return api_of(session.store).described(secret)


def _location(session: Session) -> AwsStoreLocation:
    from secretops.platforms.aws.location import AwsStoreLocation

    location = session.manifest.store
    if not isinstance(location, AwsStoreLocation):
        raise UsageError(
            f"the manifest's store is {location.kind}",
            rule="this function is for the AWS store",
            remedy="make its package anew, then pulumi up, on a stack whose store is aws",
        )
    return location


@functools.cache
def _session() -> Session:
    """Return the stack's session, for the life of this process."""
    from secretops.manifest import Manifest
    from secretops.operations.session import Session
    from secretops.redaction import forbid_core_dumps

    forbid_core_dumps()
    file = Path(os.environ.get("LAMBDA_TASK_ROOT", "")) / MANIFEST_FILE
    if text := os.environ.get(MANIFEST):
        return Session.open(Manifest.parse(text, f"${MANIFEST}"), role="rotator")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise UsageError(
            f"there is no manifest in ${MANIFEST} or {file}",
            rule="the program and the function's package are of one version",
            remedy="make its package again, then pulumi up",
        ) from None
    return Session.open(Manifest.parse(text, str(file)), role="rotator")
