"""The real command counts a long trail, one gzip stream, correctly and in constant memory."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import ExitCode
from tests.real.stack import DEADLINE
from tests.unit import test_cloudtrail as cloudtrail

pytestmark = [pytest.mark.real, pytest.mark.slow]

BLOCKS, OTHERS = 1000, 500
# Reads of the stack's secrets in each block, by the server and by an undeclared identity. `OTHERS` concern other
# things.
READS, STOLEN = 480, 20
MOST_MORE = (
    64 * 2**20
)  # Bytes that all blocks may take beyond what one takes: event ids are stored, to count each once.
MARK = "@@@@@@@@"  # Unique numbers per block: no event comes twice.
# Starts the command and records its memory. It is small, because a process's peak includes its parent's at the fork.
MEASURE = """
import json, os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[2:]).pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump({"code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss}, file)
"""


def block_of_aws() -> bytes:
    other: dict[str, Any] = {"eventSource": "lambda.amazonaws.com", "eventName": "Invoke"}
    events = [
        *(cloudtrail.event() for _ in range(READS)),
        *(cloudtrail.event(cloudtrail.session("mallory")) for _ in range(STOLEN)),
        *(cloudtrail.event(requested={"functionName": "x"}, **other) for _ in range(OTHERS)),
    ]
    document = json.dumps({"Records": [{**one, "eventID": f"{MARK}-{number}"} for number, one in enumerate(events)]})
    return f"{document}\n{document[:300]}\n".encode()


def peak_of(folder: Path, block: bytes, times: int) -> int:
    reported, manifest = folder / "reported.json", folder / "secretops.json"
    manifest.write_text(cloudtrail.MANIFEST.model_dump_json())
    command = [sys.executable, "-m", "secretops", "audit", "-", "--json", "--manifest", str(manifest)]
    with (folder / "out").open("wb+") as out:
        measured = [sys.executable, "-S", "-c", MEASURE, str(reported), *command]
        process = subprocess.Popen(measured, stdin=subprocess.PIPE, stdout=out)
        assert process.stdin
        with process.stdin, gzip.GzipFile(fileobj=process.stdin, mode="wb", compresslevel=1) as packed:
            for number in range(times):
                packed.write(block.replace(MARK.encode(), b"%08d" % number))
        assert process.wait(DEADLINE) == 0
        out.seek(0)
        *rows, summary = [json.loads(line) for line in out]
    took = json.loads(reported.read_text())
    thief = f"arn:aws:iam::{cloudtrail.ACCOUNT}:role/mallory"
    assert took["code"] == ExitCode.ATTENTION
    counts = {(row["reader"], row["outcome"]): row["count"] for row in rows}
    assert counts == {(thief, "got value"): STOLEN * times, (cloudtrail.SERVER, "got value"): READS * times}
    assert (summary["lines"], summary["broken"], summary["not_whole"]) == (2 * times, times, [])
    return int(took["peak"]) * 1024


def test_audit_of_a_long_stream_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    few, many = (peak_of(tmp_path, block_of_aws(), times) for times in (1, BLOCKS))
    assert many <= few + MOST_MORE
