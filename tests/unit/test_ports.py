"""The ports of the tests themselves: two servers that are given the same one fail a run in a hundred."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.real.ports import END, free_port

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
ASK = "from tests.real.ports import free_port\nfor _ in range(100): print(free_port())"


def test_processes_that_ask_at_once_are_given_different_ports_and_none_that_the_kernel_gives() -> None:
    asking = [subprocess.Popen((sys.executable, "-c", ASK), stdout=subprocess.PIPE, text=True) for _ in range(4)]
    given = [int(port) for process in asking for port in process.communicate()[0].split()]
    assert len(given) == len(set(given)) == 400
    first, last = map(int, EPHEMERAL.read_text().split()) if EPHEMERAL.exists() else (49_152, 65_535)
    if first >= END:  # as it is unless somebody has set it
        assert not [port for port in given if first <= port <= last]


def test_a_port_that_somebody_listens_on_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port()))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # numbers of its own, with this one next
        free_port()
        (last_given,) = tmp_path.iterdir()
        last_given.write_text(str(port - 1))
        assert free_port() != port
