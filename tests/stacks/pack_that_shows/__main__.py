"""The policy pack of this project, but it also writes the engine's plan into the file SHOWN."""

import os
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[3])

from pulumi.runtime.proto import analyzer_pb2  # noqa: E402

from policies import pack  # noqa: E402
from tests.stacks.shown import whole  # noqa: E402


class Shows(pack.Pack):
    def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002  the protocol's
        plan = self.plan_of(request)
        assert plan is not None
        Path(os.environ["SHOWN"]).write_text(whole(plan))
        return analyzer_pb2.AnalyzeResponse()


pack.serve(Shows())
