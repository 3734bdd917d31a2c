"""What of a stack's live parts is not as it should be. Looks at everything, changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from secretops.check import Check, Level, Repair, Result, unknown
from secretops.errors import ExitCode, SecretopsError
from secretops.operations.doctor.agent import agent_checks
from secretops.operations.doctor.broker import BrokerAnswers
from secretops.operations.doctor.certificates import CertificatesLast
from secretops.operations.doctor.logins import login_checks
from secretops.operations.doctor.repairs import ticks
from secretops.operations.doctor.secret_health import NothingLeft, SecretStands
from secretops.operations.session import Session

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
    platform, tick = session.platform, ticks(session)
    of_store = platform.checks(session, tick)
    reach = of_store.reach
    found: list[Check] = [*of_store.checks]
    if not platform.remote_command(session.manifest):  # else each tick tries the broker, from where the server is
        found += [BrokerAnswers(session), *login_checks(session, reach), *agent_checks(session, reach)]
    found.append(CertificatesLast(session, reach))
    found += [SecretStands(session, secret, first=reach) for secret in session.manifest.secrets]
    if platform.lists_removed:
        found.append(NothingLeft(session, first=reach))
    return found


def confirm(session: Session, said: Sequence[str]) -> None:
    """Record what an operator says of things that nobody can look at: `check=words`, who said it, and when.

    Raises UsageError, StoreError, UnreachableError.
    """
    session.platform.confirm(session.manifest.store, said)


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
