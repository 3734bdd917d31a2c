"""What of a stack's live parts is not as it should be. Looks at everything, changes nothing."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.manifest import AwsStore, AzureStore, DotenvStore, KubernetesStore, SwarmStore, VaultIssuer, VaultStore
from secretops.operations.doctor.agent import agent_checks
from secretops.operations.doctor.broker import BrokerAnswers
from secretops.operations.doctor.certificates import CertificatesLast
from secretops.operations.doctor.check import Check, Level, Repair, Result, unknown
from secretops.operations.doctor.logins import login_checks
from secretops.operations.doctor.repairs import ticks
from secretops.operations.doctor.secret_health import NothingLeft, SecretStands
from secretops.operations.session import Session
from secretops.stores import lacking

_log = logging.getLogger(__name__)

Examined = tuple[str, Result]
"""A check's name and what it found."""


def doctor(checks: Sequence[Check]) -> Iterator[Examined]:
    """Every check's result, as it comes. One that can't look is unknown, and stops no other."""
    for check in checks:
        yield check.name, _look(check)


def repairs(examined: Sequence[Examined]) -> list[Repair]:
    """What doctor can mend of what was found, each once, in the order in which it was found."""
    found = (result.repair for _, result in examined if result.repair)
    return list(dict.fromkeys(found))


def mend(repair: Repair) -> str | SecretopsError:
    """Do it, and say what was done, or why not. One that fails stops no other."""
    try:
        return repair.run()
    except SecretopsError as error:
        return error
    except Exception as error:  # a defect of this repair alone; its text may hold anything, the log is redacted
        _log.exception("%s: unexpected", repair.words)
        return SecretopsError(
            f"an unexpected {type(error).__name__}",
            rule="a repair says what it did; that it could not is a defect of its own",
            remedy="secretops doctor says how it stands now; report it with the traceback in the log",
        )


def exit_code(examined: Sequence[Examined]) -> ExitCode:
    """DONE only when everything is known to be well: what nobody could look at needs a person too."""
    return ExitCode.DONE if all(result.level is Level.OK for _, result in examined) else ExitCode.ATTENTION


def checks(session: Session) -> list[Check]:
    """What there is to look at: the store's own parts, then how each secret stands."""
    store = session.manifest.store
    match store:
        case DotenvStore():
            from secretops.platforms.dotenv.checks import dotenv_checks, reach

            there = functools.partial(reach, Path(store.root))
            return [
                *dotenv_checks(store),
                BrokerAnswers(session),
                *login_checks(session, there),
                *agent_checks(session, there),
                CertificatesLast(session, there),
                *(SecretStands(session, secret, first=there) for secret in session.manifest.secrets),
                NothingLeft(session, first=there),
            ]
        case KubernetesStore():
            from secretops.platforms.kubernetes.checks import kubernetes_checks
            from secretops.platforms.kubernetes.checks.cluster import Cluster

            cluster = Cluster(store)
            return [
                *kubernetes_checks(cluster, session),
                BrokerAnswers(session),
                *login_checks(session, cluster.reach),
                *agent_checks(session, cluster.reach),
                CertificatesLast(session, first=cluster.reach),
                *(SecretStands(session, secret, first=cluster.reach) for secret in session.manifest.secrets),
                NothingLeft(session, first=cluster.reach),
            ]
        case AwsStore():
            try:
                from secretops.platforms.aws.checks.account import Account
            except ModuleNotFoundError as error:
                raise lacking(error, "aws") from None
            from secretops.platforms.aws.checks import aws_checks

            account = Account(store)
            return [
                *aws_checks(account, session),
                BrokerAnswers(session),
                *login_checks(session, account.reach),
                *agent_checks(session, account.reach),
                CertificatesLast(session, first=account.reach),
                *(SecretStands(session, secret, first=account.reach) for secret in session.manifest.secrets),
            ]  # what left the stack is among the unknown secrets: the store knows no others than the stack's
        case AzureStore():
            try:
                from secretops.platforms.azure.checks.key_vault import Vault
            except ModuleNotFoundError as error:
                raise lacking(error, "azure") from None
            from secretops.platforms.azure.checks import azure_checks

            vault = Vault(store)
            return [
                *azure_checks(vault, session),
                BrokerAnswers(session),
                *login_checks(session, vault.reach),
                *agent_checks(session, vault.reach),
                CertificatesLast(session, first=vault.reach),
                *(SecretStands(session, secret, first=vault.reach) for secret in session.manifest.secrets),
            ]
        case SwarmStore():
            try:
                from secretops.platforms.swarm.checks.manager import Manager
            except ModuleNotFoundError as error:
                raise lacking(error, "swarm") from None
            from secretops.platforms.swarm.checks import swarm_checks

            manager = Manager(store)
            return [
                *swarm_checks(manager, ticks(session)),
                CertificatesLast(session, first=manager.reach),
                *(SecretStands(session, secret, first=manager.reach) for secret in session.manifest.secrets),
                NothingLeft(session, first=manager.reach),
            ]  # the broker is asked by each tick, from where the server is: an operator's machine need not reach it
        case VaultStore():
            try:
                from secretops.platforms.vault.checks.server import VaultServer
            except ModuleNotFoundError as error:
                raise lacking(error, "vault") from None
            from secretops.platforms.vault.checks import vault_checks

            issuers = [one.issuer for one in session.manifest.secrets if isinstance(one.issuer, VaultIssuer)]
            server = VaultServer(store, signs=[f"{one.mount}/sign/{one.role}" for one in issuers])
            return [
                *vault_checks(server, ticks(session)),
                BrokerAnswers(session),
                *login_checks(session, server.reach),
                *agent_checks(session, server.reach),
                CertificatesLast(session, first=server.reach),
                *(SecretStands(session, secret, first=server.reach) for secret in session.manifest.secrets),
                NothingLeft(session, first=server.reach),
            ]


def confirm(session: Session, said: Sequence[str]) -> None:
    """Record what an operator says of things that nobody can look at: `check=words`, who said it, and when.

    Raises UsageError, StoreError, UnreachableError.
    """
    store = session.manifest.store
    if not isinstance(store, KubernetesStore):
        raise UsageError(
            "--confirm: nothing to confirm",
            rule=f"everything about store {store.kind} can be looked at",
            remedy="secretops doctor, without --confirm",
        )
    from secretops.platforms.kubernetes.checks.cluster import Cluster
    from secretops.platforms.kubernetes.checks.confirmation import record

    record(Cluster(store), said)


def _look(check: Check) -> Result:
    try:
        return check.look()
    except SecretopsError as error:
        return Result.of(error, Level.UNKNOWN)
    except Exception as error:  # a defect of this check alone; its text may hold anything, the log is redacted
        _log.exception("%s: unexpected", check.name)
        return unknown(
            f"an unexpected {type(error).__name__}",
            "doctor tells what is wrong; that it could not is a defect of its own",
            "report it with the traceback in the log",
        )
