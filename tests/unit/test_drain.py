"""The launcher's end: what a client posted is answered first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from secretops.errors import SecretopsError
from secretops.launcher import drain
from secretops.launcher.drain import CallsUnderWay


async def _answer() -> str:
    return "done"


def known(calls: CallsUnderWay, handler: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
    """`handler` as a server has it that is watched."""
    handlers: dict[str, Any] = {"call": handler}
    calls.watch(cast(Any, SimpleNamespace(_mcp_server=SimpleNamespace(request_handlers=handlers))))
    watched: Callable[[], Awaitable[str]] = handlers["call"]
    return watched


async def drained(calls: CallsUnderWay, told: list[str]) -> None:
    await calls.drain()
    told.append("drained")


def test_what_was_posted_and_is_no_call_yet_is_answered_first() -> None:
    async def scenario() -> list[str]:
        calls, told, begin = CallsUnderWay(), list[str](), anyio.Event()
        handler = known(calls, _answer)

        async def post() -> None:
            with calls.posted():
                await begin.wait()  # its body is read, and its session has not taken it
                told.append(await handler())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            tasks.start_soon(drained, calls, told)
            await anyio.sleep(2 * drain._TURN * drain._QUIET_TURNS)
            begin.set()
        return told

    assert anyio.run(scenario) == ["done", "drained"]


@pytest.mark.parametrize("begins", ["before", "after"], ids=["under way", "begun after others were given up"])
def test_a_call_that_takes_too_long_is_told_that_it_is_given_up(begins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "CALL_SECONDS", 0.05)
    monkeypatch.setattr(drain, "ANSWER_SECONDS", 60)

    async def scenario() -> list[str]:
        calls, told = CallsUnderWay(), list[str]()
        handler = known(calls, cast(Any, anyio.sleep_forever))

        async def post() -> None:
            with calls.posted():
                while begins == "after" and not calls._given_up:
                    await anyio.sleep(0.01)
                try:
                    await handler()
                except SecretopsError as error:
                    told.append(error.what)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            await drained(calls, told)
        return told

    assert anyio.run(scenario) == ["the server ends, and gave this call up", "drained"]
