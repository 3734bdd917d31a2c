"""The embedded broker's process. `process.start` passes the arguments HOME HOST PORT [READY]. They are not secret."""

from __future__ import annotations

import sys
from pathlib import Path

from secretops.broker.process import serve
from secretops.errors import SecretopsError
from secretops.redaction import forbid_core_dumps

forbid_core_dumps()
try:
    home, host, port, *ready = sys.argv[1:]
    serve(Path(home), host, int(port), ready=int(ready[0]) if ready else None)
except SecretopsError as error:
    sys.stderr.write(" ".join(str(error).splitlines()) + "\n")  # on one line: `start` prints the last line of the log
    sys.exit(error.exit_code)
