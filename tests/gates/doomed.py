"""Run a command in its own process, and kill it at a chosen moment. The product has no hook for this."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Any

from secretops.errors import SecretopsError
from secretops.operations import broker_access, put, rotate, rotators, tick
from secretops.operations.session import Session
from secretops.targets import open_target
from tests.real.stack import DEADLINE, Stack

# Calls without effects at store and target.
LOOKS = frozenset({"versions", "read", "lease", "confirm", "verify"})

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(  # passed over where its extra is missing
    [
        *(__name__, "secretops.platforms.kubernetes", "tests.real.aws_stack", "tests.real.azure_stack"),
        "tests.real.openbao_stack",
    ]
)

Moment = Callable[[str], None]  # Called in the doomed process at each moment, with its name.


class Watched:
    """A store or a target with `moment(name)` called before and after each of its effects."""

    def __init__(self, real: object, kind: str, moment: Moment) -> None:
        self._real, self._kind, self._moment = real, kind, moment

    @property  # type: ignore[misc]  # isinstance checks find the real store's class
    def __class__(self) -> Any:
        return type(self._real)

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name in LOOKS or not callable(real):
            return real

        @functools.wraps(real)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self._moment(f"before {self._kind}.{name}")
            answer = real(*args, **kwargs)
            self._moment(f"after {self._kind}.{name}")
            return answer

        return watched


def start(
    stack: Stack, command: str, name: str, *, kill_at: int | str | None = None, hold_at: Collection[int] = ()
) -> Doomed:
    """Start `rotate name` or `tick`; see `begin`."""
    return begin(functools.partial(_command, stack, command, name), kill_at=kill_at, hold_at=hold_at)


def begin(act: Callable[[Moment], None], *, kill_at: int | str | None = None, hold_at: Collection[int] = ()) -> Doomed:
    """Run `act` in a new process. At moment `kill_at` (a number or a name), the process kills itself with SIGKILL; at
    `hold_at` it waits.

    `act` is pickled: a function of a module, or a partial of one.
    """
    ours, theirs = _context.Pipe()
    process = _context.Process(target=_run, args=(act, kill_at, hold_at, theirs), daemon=True)
    process.start()
    theirs.close()
    return Doomed(process, ours)


class Doomed:
    """The process, and its moments so far."""

    def __init__(self, process: ForkServerProcess, pipe: Connection) -> None:
        self.process, self._pipe = process, pipe
        self.moments: list[str] = []

    def next_moment(self) -> str:
        assert self._pipe.poll(DEADLINE)
        try:
            self.moments.append(self._pipe.recv())
        except EOFError:
            raise AssertionError(f"it ended after {self.moments}") from None
        return self.moments[-1]

    def go_on(self) -> None:
        self._pipe.send("go on")

    def end(self, seconds: float = DEADLINE) -> int:
        """Wait until the process ends. Return its exit code, or the negative signal number. `moments` has its
        moments."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it hangs"
        try:
            while self._pipe.poll():
                self.moments.append(self._pipe.recv())
        except EOFError:
            pass
        self._pipe.close()
        return self.process.exitcode


def _run(act: Callable[[Moment], None], kill_at: int | str | None, hold_at: Collection[int], pipe: Connection) -> None:
    count = 0

    def moment(what: str) -> None:
        nonlocal count
        pipe.send(what)
        if kill_at in (count, what):
            os.kill(os.getpid(), signal.SIGKILL)
        if count in hold_at:
            pipe.recv()
        count += 1

    try:
        act(moment)
    except SecretopsError as error:
        pipe.send(str(error))
        os._exit(int(error.exit_code))


def _command(stack: Stack, command: str, name: str, moment: Moment) -> None:
    opened = stack.session("rotator")
    real = open_target
    for module in (broker_access, put, rotators, tick):
        setattr(module, "open_target", lambda *args: Watched(real(*args), "target", moment))  # noqa: B010 - mypy
    session = Session(
        manifest=opened.manifest,
        store=Watched(opened.store, "store", moment),
        journal=opened.journal,
        clock=opened.clock,
    )
    if command == "tick":
        failed = next((one.error for one in tick.tick(session) if one.error), None)
        if failed:
            raise failed
    else:
        rotate.rotate(session, name, force=False, notify=lambda _: None)
