"""Check a stack's live parts, and change nothing. Repairs are separate, and only run when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from secretops.check import Check, Level, Repair, Result, unknown
from secretops.errors import ExitCode, SecretopsError
from secretops.manifest import Secret, SecretKind
from secretops.operations import external_certificates
from secretops.operations.doctor import common
from secretops.operations.doctor.common import ticks
from secretops.operations.session import Session

_log = logging.getLogger(__name__)

# A check's name, and what it found.
Examined = tuple[str, Result]


def doctor(checks: Sequence[Check]) -> Iterator[Examined]:
    """Yield each check's result as it comes. A check that fails is UNKNOWN, and stops no other."""
    for check in checks:
        yield check.name, _look(check)


def repairs(examined: Sequence[Examined]) -> list[Repair]:
    """Return the repairs of all findings, each once, in the order of the findings."""
    found = (result.repair for _, result in examined if result.repair)
    return list(dict.fromkeys(found))


def mend(repair: Repair) -> str | SecretopsError:
    """Run a repair. Return what was done, or why it failed; one that fails stops no other."""
    try:
        return repair.run()
    except SecretopsError as error:
        return error
    except Exception as error:  # a defect of this repair alone; its text may hold anything, the log is redacted
        _log.exception("%s: unexpected", repair.description)
        return SecretopsError(
            f"an unexpected {type(error).__name__}",
            rule="a repair says what it did; that it could not is a defect of its own",
            remedy="secretops doctor says how it stands now; report it with the traceback in the log",
        )


def exit_code(examined: Sequence[Examined]) -> ExitCode:
    """Return DONE only if every result is OK: UNKNOWN needs a person too."""
    return ExitCode.DONE if all(result.level is Level.OK for _, result in examined) else ExitCode.ATTENTION


def checks(session: Session) -> list[Check]:
    """Return the platform's own checks, then those that every stack has. Raises UsageError: its extra is missing."""
    platform, secrets = session.platform, session.manifest.secrets
    of_store = platform.checks(session, ticks(session))

    def asking(name: str, look: Callable[..., Result], *secret: Secret) -> Check:
        """Ask the store, once it can be reached."""

        def reach_and_look() -> Result:
            of_store.reach()
            return look(session, *secret)

        return Check(name, reach_and_look)

    found = [*of_store.checks]
    if not platform.remote_command(session.manifest):  # else each tick tries the broker, from where the server is
        found.append(Check("broker", partial(common.broker, session)))
        found += [asking(f"login {one.name}", common.login, one) for one in secrets if one.kind.alternates]
        key = session.manifest.of_kind(SecretKind.AGENT_KEY)
        found += [asking("agent", common.agent_key, key)] if key and key.agent else []
    found.append(asking(external_certificates.NAME, common.certificates))
    found += [asking(f"secret {one.name}", common.secret_health, one) for one in secrets]
    if platform.lists_orphans:
        found.append(asking(common.ORPHANS, common.orphaned_values))
    return found


def _look(check: Check) -> Result:
    try:
        return check.run()
    except SecretopsError as error:
        return Result.of(error, Level.UNKNOWN)
    except Exception as error:  # a defect of this check alone; its text may hold anything, the log is redacted
        _log.exception("%s: unexpected", check.name)
        return unknown(
            f"an unexpected {type(error).__name__}",
            "doctor tells what is wrong; that it could not is a defect of its own",
            "report it with the traceback in the log",
        )
