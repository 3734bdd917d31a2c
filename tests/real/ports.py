"""Assign loopback ports to test servers. No two test processes of this machine get the same port."""

import fcntl
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import TextIO

FIRST = 16_000  # Above the usual ports of servers.
# Below the kernel's ephemeral ports (ip_local_port_range: 32768 on Linux), which any connection may get, and below
# Kubernetes' node ports.
END = 30_000


def free_port() -> int:
    with _last_given() as file:
        supplied = file.read()
        port = int(supplied) if re.fullmatch(r"\d{5}", supplied) else FIRST + os.getpid() % (END - FIRST)
        for _ in range(FIRST, END):
            port = port + 1 if FIRST <= port < END - 1 else FIRST
            if _is_free(port):
                file.seek(0)
                file.write(str(port))
                file.truncate()
                return port
    raise OSError(f"no port of {FIRST} to {END - 1} is free: somebody listens on each")


def _last_given() -> TextIO:
    path = Path(tempfile.gettempdir(), f"coreflux-mcp-secrets-{os.getuid()}-last-port")
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
