"""Docker's health check of a container: `python -m secretops.launcher.health`.

A container is healthy if it serves, has served before, or waits for first values. A new replica with a rejected version
never serves, so it is not healthy, and replaces no running replica. A replica that has served stays healthy, so it is
not restarted while the broker is unreachable.
"""

from __future__ import annotations

import json
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from secretops import printable
from secretops.errors import ExitCode

# The launcher's address in the image.
ADDRESS = ("127.0.0.1", 8080)

# Seconds to wait for an answer, long enough for a busy machine.
TIMEOUT = 4

# This file exists in the container once the server has served.
SERVED = Path(tempfile.gettempdir()) / "secretops-has-served"


def unhealthy_reason(address: tuple[str, int] = ADDRESS, served: Path = SERVED) -> str:
    connection = HTTPConnection(*address, timeout=TIMEOUT)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        text = response.read()
    except (OSError, HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    if response.status == 200:  # noqa: PLR2004 - HTTP's own
        served.touch()
        return ""
    try:
        waiting = bool(json.loads(text)["waiting_for"])
    except (ValueError, KeyError, TypeError):
        waiting = False
    return (
        "" if waiting or served.exists() else f"HTTP {response.status}: the server has its values, but does not serve"
    )


if __name__ == "__main__":
    printable.install()
    if reason := unhealthy_reason():
        print(reason)  # noqa: T201 - `docker inspect` shows the last few
        sys.exit(int(ExitCode.FAILED))
