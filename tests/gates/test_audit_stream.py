"""A long trail as one gzip stream, through the real command: counted right, in memory that does not grow with it."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from secretops.errors import ExitCode
from secretops.manifest import Manifest
from tests.real.stack import DEADLINE
from tests.unit import test_cloudtrail as cloudtrail

pytestmark = [pytest.mark.real, pytest.mark.slow]

BLOCKS, OF_BLOCK = 1000, 1000
READS, STOLEN = 480, 20
"""Of the stack's secrets, in each block, by the server and by somebody undeclared. The rest is about others' things."""
MEBIBYTE = 2**20
MARK = "@@@@@@@@"
"""What is another number in each block: no event comes twice."""
MEASURE = """
import json, os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[2:]).pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump({"code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss}, file)
"""
"""Starts the command and writes down what it took. It is small itself, for the peak of a process counts what it was
started from."""


@dataclass(frozen=True)
class Found:
    """What the command said, and the most bytes it had."""

    code: int
    peak: int
    rows: dict[tuple[str, str], int]
    summary: dict[str, Any]


@dataclass(frozen=True)
class Log:
    """What a trail writes, and who is in it. All blocks may take `more` bytes beyond what one takes."""

    manifest: Manifest
    block: bytes
    lines: int
    server: str
    thief: str
    more: int


def trail_of_aws() -> Log:
    """Each file of the bucket is one line; of a torn one there is the beginning. It remembers events, to count once."""
    other: dict[str, Any] = {"eventSource": "lambda.amazonaws.com", "eventName": "Invoke"}
    events = [
        *(cloudtrail.event() for _ in range(READS)),
        *(cloudtrail.event(cloudtrail.session("mallory")) for _ in range(STOLEN)),
        *(cloudtrail.event(asked={"functionName": "x"}, **other) for _ in range(OF_BLOCK - READS - STOLEN)),
    ]
    document = json.dumps({"Records": [{**one, "eventID": f"{MARK}-{number}"} for number, one in enumerate(events)]})
    block = f"{document}\n{document[:300]}\n".encode()
    thief = f"arn:aws:iam::{cloudtrail.ACCOUNT}:role/mallory"
    return Log(cloudtrail.MANIFEST, block, 2, cloudtrail.SERVER, thief, 64 * MEBIBYTE)


def audited(folder: Path, log: Log, times: int) -> Found:
    told, file = folder / "told.json", folder / "secretops.json"
    file.write_text(log.manifest.model_dump_json())
    command = [sys.executable, "-m", "secretops", "audit", "-", "--json", "--manifest", str(file)]
    with (folder / "out").open("wb+") as out:
        measured = [sys.executable, "-S", "-c", MEASURE, str(told), *command]
        process = subprocess.Popen(measured, stdin=subprocess.PIPE, stdout=out)
        assert process.stdin
        with process.stdin, gzip.GzipFile(fileobj=process.stdin, mode="wb", compresslevel=1) as packed:
            for number in range(times):
                packed.write(log.block.replace(MARK.encode(), b"%08d" % number))
        assert process.wait(DEADLINE) == 0
        out.seek(0)
        *rows, summary = [json.loads(line) for line in out]
    took = json.loads(told.read_text())
    counts = {(row["reader"], row["outcome"]): cast(int, row["count"]) for row in rows}
    return Found(took["code"], took["peak"] * 1024, counts, summary)


def test_audit_of_a_long_stream_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    log = trail_of_aws()
    few, many = (audited(tmp_path, log, times) for times in (1, BLOCKS))
    for found, times in ((few, 1), (many, BLOCKS)):
        assert found.code == ExitCode.ATTENTION
        assert found.rows == {(log.thief, "got it"): STOLEN * times, (log.server, "got it"): READS * times}
        assert (found.summary["lines"], found.summary["broken"]) == (log.lines * times, times)
        assert found.summary["not_whole"] == []
    assert many.peak <= few.peak + log.more
