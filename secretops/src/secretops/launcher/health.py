"""The health check of a container, for Docker, which has one check for start and life.

    python -m secretops.launcher.health

Healthy is a server that serves, has served before, or waits for its first values. So a version that does not work at
the broker never takes over, and an unreachable broker restarts no replica.
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

# Seconds that a busy machine may need for an answer.
PATIENCE = 4

# In the container's own memory: a new container has not served.
SERVED = Path(tempfile.gettempdir()) / "secretops-has-served"


def unhealthy_reason(address: tuple[str, int] = ADDRESS, served: Path = SERVED) -> str:
    """Return why the server is not healthy, or an empty text."""
    connection = HTTPConnection(*address, timeout=PATIENCE)
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
    return "" if waiting or served.exists() else f"HTTP {response.status}: it has its values and does not serve"


if __name__ == "__main__":
    printable.install()
    if reason := unhealthy_reason():
        print(reason)  # noqa: T201 - `docker inspect` shows the last few
        sys.exit(int(ExitCode.FAILED))
