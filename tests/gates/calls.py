"""What a cloud calls, for a process of its own (tests/gates/doomed) that comes to a moment at each request it makes.

A request is one to the store, by its SDK, or a message to the broker. Nothing of the product is asked to tell of it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any

from secretops.errors import LeaseHeldError
from secretops.operations.session import Session
from secretops.targets.connection import Connection
from tests.gates.doomed import Moment
from tests.real.cloud_stack import Calls, CloudStack, Event

MESSAGES: Calls = ((Connection, "publish"),)


def play(stack: CloudStack, events: Sequence[Event], leased: bool, moment: Moment) -> None:
    """The calls, with a moment at each effect, and after each call. Not `leased`: as if nobody else were there."""
    watch(stack, (*stack.writes, *MESSAGES), moment)
    if not leased:
        setattr(Session, "lease", lambda *_: contextlib.nullcontext())  # noqa: B010 - mypy
    for event in events:
        stack.play(event)
        moment(f"after {event.get('Step', 'the call')}")


def play_and_tell(stack: CloudStack, event: Event, calls: Calls, moment: Moment) -> None:
    """One call, with a moment at each of `calls`, the last of which is what the cloud is told."""
    stack.share_time()
    watch(stack, calls, moment)
    try:
        stack.play(event)
    except stack.refusals as error:
        moment(str(error))


def play_in_turn(stack: CloudStack, events: Sequence[Event], moment: Moment) -> None:
    """The calls. One that finds another at work is made again."""
    os.environ.update(stack.environment)
    moment("ready")
    for event in events:
        while True:
            try:
                stack.play(event)
                break
            except stack.refusals as error:
                if not isinstance(error, LeaseHeldError) and LeaseHeldError.__name__ not in str(error):
                    raise


def watch(stack: CloudStack, calls: Iterable[tuple[type, str]], moment: Moment) -> None:
    """Come to a moment before and after each of `calls`, in this process."""
    os.environ.update(stack.environment)

    def watched(of: type, name: str) -> None:
        real = getattr(of, name)

        @functools.wraps(real)
        def watching(self: object, *args: Any, **named: Any) -> Any:
            told = stack.moment(name, args, named)
            if told is None:
                return real(self, *args, **named)
            moment(f"before {told}")
            answer = real(self, *args, **named)
            moment(f"after {told}")
            return answer

        setattr(of, name, watching)

    for of, name in calls:
        watched(of, name)
