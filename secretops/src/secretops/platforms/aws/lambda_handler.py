"""What AWS calls: Secrets Manager for each step of a rotation, EventBridge Scheduler for the hourly tick.

The steps are the engine's own, under AWS' token. What goes wrong is raised, so that AWS marks the attempt as failed
and tries again.
"""

from __future__ import annotations

import functools
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

if TYPE_CHECKING:
    from types_boto3_secretsmanager.type_defs import DescribeSecretResponseTypeDef

    from secretops.engine.rotation import Rotation
    from secretops.engine.state import Version
    from secretops.manifest import Secret
    from secretops.operations.session import Session
    from secretops.operations.tick import Outcome
    from secretops.platforms.aws.location import AwsStoreLocation

MANIFEST = "SECRETOPS_MANIFEST_JSON"
"""The variable with the stack's manifest. All of a function's variables together may have 4 KB."""

MANIFEST_FILE = "secretops.json"
"""The file with it, beside the code, where the variable is not set: for a long one."""

_ARN = re.compile(r"arn:[\w-]+:secretsmanager:[^:]*:\d*:secret:(.+)-\w{6}")
"""AWS puts a dash and six characters behind the name."""

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")

METRICS = ("Failed", "Attention", "Overdue")
"""How many secrets the last tick left so: metrics of the namespace that is the project, by dimension Stack."""

LEASE_SECONDS = 60.0
"""How long a step waits for a tick or a command that is at work: they take seconds, AWS' next attempt takes longer."""

ASK_AGAIN = 1.0
"""Seconds between two tries to get the lease."""

_log = logging.getLogger("secretops")


class LambdaError(Exception):
    """What AWS is told of a failure: value, rule and remedy, without a cause that could hold more."""


def rotate(event: Mapping[str, Any], _context: object) -> None:
    """One step of one rotation: createSecret, setSecret, testSecret or finishSecret. Done again it does nothing.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
    Raises LambdaError.
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
                session.store.settle(secret.name, session.clock())  # a crash may have come after the move
            else:
                _refuse_another(secret, described, token)
                _take(step, session, secret, token)


def tick(_event: object, _context: object) -> dict[str, Any]:
    """Finish what was left, retire what is over, say what expires or is late. What is due AWS' own schedule begins.

    Gives what it did, for whoever calls it by hand. Raises LambdaError when a secret failed; the others had their turn.
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
    if missing := [
        key for key, text in (("SecretId", full_name), ("ClientRequestToken", token), ("Step", step)) if not text
    ]:
        raise UsageError(
            f"the event has no {', no '.join(missing)}",
            rule="Secrets Manager calls this function with SecretId, ClientRequestToken and Step",
            remedy="aws secretsmanager rotate-secret --secret-id NAME calls it",
        )
    if step not in STEPS:
        raise UsageError(f"{step}: unknown step", rule=f"one of {', '.join(STEPS)}")


def _take(step: str, session: Session, secret: Secret, token: str) -> None:
    match step:
        case "createSecret":
            session.await_admin(secret)
            session.store.settle(secret.name, session.clock())
            session.rotation(secret).prepare(token=token)
        case "setSecret":
            rotation = session.rotation(secret)
            rotation.apply(_prepared(rotation, secret, token))
        case "testSecret":
            # Of a rotation that is not to begin at once, only this step is run, with a version that has no value: at
            # the first `pulumi up`, when nothing has one, not even the certificate that a broker may ask for.
            versions = session.facts(secret).versions
            pending = versions.pending
            if tested := pending if pending and pending.id == token else versions.current:
                session.rotation(secret).verify(tested)
        case _:
            rotation = session.rotation(secret)
            version = _prepared(rotation, secret, token)
            if not version.verified:
                rotation.verify(version)
            rotation.publish(version)
            session.hint(secret, version.id)


def _prepared(rotation: Rotation, secret: Secret, token: str) -> Version:
    if version := rotation.prepared(token):
        return version
    raise NotFoundError(
        f"{secret.name}: version {token} has no value",
        rule="createSecret makes it; AWS begins again with that step",
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
    RotateSecret runs testSecret while it configures rotation, and no page says that RotationEnabled is true by then:
    so testSecret, which changes no value and no user, accepts null.
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
    """The store's lease, waited for: AWS does not say when it tries again."""
    end = time.monotonic() + LEASE_SECONDS
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(session.lease(command))
                break
            except LeaseHeldError:
                if time.monotonic() > end:
                    raise
                time.sleep(ASK_AGAIN)
        yield


@contextmanager
def _told(what: str, **names: str) -> Iterator[None]:
    """Log how `what` went, with public `names` as fields, and raise what AWS may show."""
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
    """The tick in CloudWatch's embedded metric format.

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
    """The secrets that AWS rotates when they are due.

    Under the lease a lookup also reads the labels, which are then not read again. A secret that can't be read counts
    as not scheduled: the tick reports it.
    """

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
    """What AWS says of a secret, by its name or ARN. Never a value. Raises as the store does."""
    _location(session)
    from secretops.platforms.aws.rotation_setup import api_of

    return api_of(session.store).described(secret)


def _location(session: Session) -> AwsStoreLocation:
    location = session.manifest.store
    if location.kind != "aws":
        raise UsageError(
            f"the manifest's store is {location.kind}",
            rule="this function is for the AWS store",
            remedy="make its package anew, then pulumi up, on a stack whose store is aws",
        )
    return location


@functools.cache
def _session() -> Session:
    """Return the stack's session, which is kept for as long as AWS keeps this process."""
    from secretops.core_dumps import forbid_core_dumps
    from secretops.manifest import Manifest
    from secretops.operations.session import Session

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
