"""Access to the broker outside of a rotation's steps: secretops' admin, the servers' reports, and hints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from secretops.engine.decisions import Facts, all_report_current
from secretops.engine.state import Replica, Versions
from secretops.errors import NotFoundError, SecretopsError, WaitingError
from secretops.manifest import Reader, Secret, SecretKind
from secretops.operations.certificate import relied_on
from secretops.operations.session import Session
from secretops.targets import open_target
from secretops.targets.reports import Hint, ReportsError, publish_hint, read_reports
from secretops.values import Value

# Seconds to wait for each answer of the broker while servers' reports are read. It is short, because commands work
# without the reports.
REPORT_SECONDS = 5.0

_log = logging.getLogger(__name__)


class BrokerAdmin:
    def __init__(self, session: Session) -> None:
        self._session = session

    @cached_property
    def current(self) -> tuple[str, str]:
        secret = self._session.manifest.of_kind(SecretKind.BROKER_ADMIN)
        current = self._session.store.versions(secret.name).current if secret else None
        if secret is None or current is None:
            rule = "an operator must supply the first admin of a broker; secretops rotates it from then on"
            remedy = self._session.first_value_command(secret) if secret else "secretops put broker-admin"
            what = "broker-admin has no value yet"
            raise WaitingError(what, rule=rule, remedy=remedy, code="broker-admin-missing")
        return secret.name, current.id

    def credential(self) -> Value:
        """Return the credential of the broker's admin. Raises WaitingError."""
        secret, version = self.current
        try:
            return self._session.store.read(secret, version, purpose="act as broker admin")
        except NotFoundError as error:
            what, rule = (
                f"{secret}: the value of version {version} is lost",
                "secretops must log in as an admin of the broker to change users",
            )
            remedy = f"supply an admin of the broker: secretops put {secret} --now; then run this command again"
            raise WaitingError(what, rule=rule, remedy=remedy, code="broker-admin-lost") from error


def replicas(
    session: Session,
    secret: Secret,
    versions: Versions | None = None,
    *,
    failed: Callable[[SecretopsError], None] = lambda _: None,  # gets the error of a login
) -> tuple[Replica, ...] | None:
    """Return the servers' reports of their versions of `secret`, read from the broker with its current value. None if
    unknown or incomplete."""
    if secret.kind is not SecretKind.MQTT_USER:
        return None
    try:
        current = (versions or session.store.versions(secret.name)).current
        value = session.store.read(secret.name, current.id, purpose="read servers' reports") if current else None
    except SecretopsError:
        return None
    return replicas_read_as(session, secret, value, failed=failed) if value else None


def replicas_read_as(
    session: Session, secret: Secret, value: Value, *, failed: Callable[[SecretopsError], None] = lambda _: None
) -> tuple[Replica, ...] | None:
    """Do the same as `replicas`, with the credential `value`."""
    if secret.kind is not SecretKind.MQTT_USER:
        return None
    try:
        reports = read_reports(session.broker, value, secret.users, deadline=REPORT_SECONDS)
    except ReportsError:
        return None
    except SecretopsError as error:
        failed(error)
        return None
    # A report of another secret is forged, and may replace a real one.
    return reports if all(report.secret == secret.name for report in reports) else None


def facts_for_retiring(session: Session, secret: Secret, versions: Versions) -> Facts:
    """Return the facts that decide whether to retire: the servers' reports or, for a CA, whether its certificates are
    in use."""
    facts = session.facts(secret, versions=versions)
    previous = versions.previous
    if previous is None or previous.retired:
        return facts
    if secret.kind is SecretKind.CA:
        is_safe = not relied_on(session.manifest, session.store, secret, previous, session.clock())
        return replace(facts, safe_to_retire=is_safe)
    facts = replace(facts, replicas=replicas(session, secret, versions) or ())
    return replace(facts, guarded=all_report_current(facts) and _guards_reports(session, secret))


def _guards_reports(session: Session, secret: Secret) -> bool:
    try:
        admin = BrokerAdmin(session).credential()
        return open_target(session.broker, secret.kind).guards_reports(admin, secret.users)
    except SecretopsError as error:
        _log.info("%s: cannot check who may write reports: %s", secret.name, error.what)
        return False


def hint(session: Session, secret: Secret, version: str) -> None:
    """Publish a hint that `version` is current, for launchers that poll the store. Logs errors and raises none."""
    if not session.platform.is_polled or Reader.SERVER not in secret.readers:
        return
    server = session.manifest.of_kind(SecretKind.MQTT_USER)
    try:
        if server and (current := session.store.versions(server.name).current):
            value = session.store.read(server.name, current.id, purpose="hint at a new version")
            publish_hint(session.broker, value, Hint(secret.name, version))
    except SecretopsError as error:
        _log.warning(
            "%s: no hint was sent for version %s; launchers find the version by polling: %s",
            secret.name,
            version,
            error.what,
        )
    except Exception:  # the version is published: its rotation must not fail now
        _log.exception(
            "%s: no hint was sent for version %s; launchers find the version by polling", secret.name, version
        )
