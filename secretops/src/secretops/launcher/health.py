"""Whether a replica is healthy, for a platform that has one check for both its start and its life: Docker.

    python -m secretops.launcher.health

Healthy is one that serves, one that has served before, and one that waits for first values. So a version that does not
work at the broker never takes over, and a broker that is away for a while ends no replica.
"""

from __future__ import annotations

import json
import sys
import tempfile
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path

from secretops import printable
from secretops.errors import ExitCode

ADDRESS = ("127.0.0.1", 8080)
"""The launcher's, as the image starts it."""

PATIENCE = 4
"""Seconds. The launcher answers at once, also while a tool blocks; a busy machine may need longer."""

SERVED = Path(tempfile.gettempdir()) / "secretops-has-served"
"""In the container's own memory: a new one has not served."""


def told(address: tuple[str, int] = ADDRESS, served: Path = SERVED) -> str:
    """Why it is not healthy; "" where it is."""
    connection = HTTPConnection(*address, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        waiting = _waiting_for(answer)
    except (OSError, HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    if answer.status == 200:  # noqa: PLR2004 - HTTP's own
        served.touch()
        return ""
    if waiting or served.exists():
        return ""
    return f"HTTP {answer.status}: it has its values and does not serve"


def _waiting_for(answer: HTTPResponse) -> bool:
    """Whether secrets are missing that nobody has put yet."""
    try:
        return bool(json.loads(answer.read())["waiting_for"])
    except (ValueError, KeyError, TypeError):
        return False


def main() -> None:
    """End with 0 or 1, which is all that Docker knows."""
    printable.install()
    if why := told():
        print(why)  # noqa: T201 - `docker inspect` shows the last few
        sys.exit(int(ExitCode.FAILED))


if __name__ == "__main__":
    main()
