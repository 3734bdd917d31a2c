"""A million records of a trail, as one gzip stream, through the real command: counted right, in memory that stays."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from secretops.errors import ExitCode
from secretops.manifest import Manifest
from tests.real.stack import DEADLINE
from tests.unit import test_audit as kubernetes
from tests.unit import test_cloudtrail as cloudtrail

pytestmark = pytest.mark.real

BLOCKS, OF_BLOCK = 1000, 1000
"""A million records."""

READS, STOLEN = 480, 20
"""Of the stack's secrets, in each block, by the server and by somebody undeclared. The rest is about others' things."""

MEBIBYTE = 2**20
MOST_CPU = 120.0
"""Seconds of one core. It takes some twelve; a slow machine may have ten times as many."""

MARK = b"@@@@@@@@"
"""What is another number in each block: no event comes twice."""

MEASURE = """
import json, os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[2:]).pid, 0)
told = {"code": os.waitstatus_to_exitcode(status), "cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss}
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
"""
"""Starts the command and writes down what it took. It is small itself, for the peak of a process counts what it was
started from."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """What a trail writes, and who is in it."""

    manifest: Manifest
    block: bytes
    lines: int
    """Of a block, with its broken one."""
    server: str
    thief: str
    more: int
    """Bytes of memory that all blocks may take beyond what one takes."""


@dataclass(frozen=True)
class Found:
    """What the command said, and what it took."""

    code: int
    cpu: float
    peak: int
    """Bytes."""
    rows: dict[tuple[str, str], int]
    summary: dict[str, Any]


def lines_of_kubernetes() -> bytes:
    """Each event of the API server is a line."""
    other = {"target": {"resource": "configmaps"}}
    events = [
        *(kubernetes.event(kubernetes.SERVER) for _ in range(READS)),
        *(kubernetes.event("mallory", address="203.0.113.7") for _ in range(STOLEN)),
        *(kubernetes.event(kubernetes.SERVER, **other) for _ in range(OF_BLOCK - READS - STOLEN)),
    ]
    lines = [json.dumps({**one, "auditID": f"{MARK.decode()}-{number}"}) for number, one in enumerate(events)]
    return "".join(f"{line}\n" for line in (*lines, lines[0][:300])).encode()


def documents_of_cloudtrail() -> bytes:
    """Each file of the bucket is one line; of a torn one there is the beginning."""
    other: dict[str, Any] = {
        "asked": {"functionName": "another"},
        "eventSource": "lambda.amazonaws.com",
        "eventName": "Invoke",
    }
    events = [
        *(cloudtrail.event() for _ in range(READS)),
        *(cloudtrail.event(cloudtrail.session("mallory")) for _ in range(STOLEN)),
        *(cloudtrail.event(**other) for _ in range(OF_BLOCK - READS - STOLEN)),
    ]
    records = [{**one, "eventID": f"{MARK.decode()}-{number}"} for number, one in enumerate(events)]
    document = json.dumps({"Records": records})
    return f"{document}\n{document[:300]}\n".encode()


def stream(block: bytes, times: int) -> Iterator[bytes]:
    for number in range(times):
        yield block.replace(MARK, b"%08d" % number)


def audited(folder: Path, log: Log, times: int) -> Found:
    told, file = folder / "told.json", folder / "secretops.json"
    file.write_text(log.manifest.model_dump_json())
    command = [sys.executable, "-m", "secretops", "audit", "-", "--json", "--manifest", str(file)]
    with (folder / "out").open("wb+") as out:
        measured = [sys.executable, "-S", "-c", MEASURE, str(told), *command]
        process = subprocess.Popen(measured, stdin=subprocess.PIPE, stdout=out)
        assert process.stdin
        with process.stdin, gzip.GzipFile(fileobj=process.stdin, mode="wb", compresslevel=1) as packed:
            for part in stream(log.block, times):
                packed.write(part)
        assert process.wait(DEADLINE) == 0
        out.seek(0)
        *rows, summary = [json.loads(line) for line in out]
    took = json.loads(told.read_text())
    counts = {(row["reader"], row["outcome"]): cast(int, row["count"]) for row in rows}
    return Found(took["code"], took["cpu"], took["peak"] * 1024, counts, summary)


API_SERVER = Log(
    manifest=kubernetes.MANIFEST,
    block=lines_of_kubernetes(),
    lines=OF_BLOCK + 1,
    server=kubernetes.SERVER,
    thief="mallory",
    more=16 * MEBIBYTE,
)
CLOUDTRAIL = Log(
    manifest=cloudtrail.MANIFEST,
    block=documents_of_cloudtrail(),
    lines=2,
    server=cloudtrail.SERVER,
    thief=f"arn:aws:iam::{cloudtrail.ACCOUNT}:role/mallory",
    more=64 * MEBIBYTE,  # the events that it remembers, to count each once
)


@pytest.mark.parametrize("log", [API_SERVER, CLOUDTRAIL], ids=["lines of the API server", "documents of CloudTrail"])
def test_a_million_records_are_counted_in_the_memory_that_a_thousand_take(tmp_path: Path, log: Log) -> None:
    few, many = (audited(tmp_path, log, times) for times in (1, BLOCKS))
    size = len(log.block) * BLOCKS / 1e6
    print(f"{size:.0f} MB: {many.cpu:.1f} s of one core, {many.peak / 1e6:.0f} MB; a block: {few.peak / 1e6:.0f} MB")
    for found, times in ((few, 1), (many, BLOCKS)):
        assert found.code == ExitCode.ATTENTION
        assert found.rows == {(log.thief, "got it"): STOLEN * times, (log.server, "got it"): READS * times}
        assert (found.summary["lines"], found.summary["broken"]) == (log.lines * times, times)
        assert found.summary["not_whole"] == []
    assert many.peak <= few.peak + log.more
    assert many.cpu <= MOST_CPU
