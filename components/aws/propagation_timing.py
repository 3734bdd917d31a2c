"""How long a new version takes until every task has it (docs/operations/aws.md, How a new version arrives). Seconds."""

from __future__ import annotations

DELAY = 60
"""That a message waits before anybody sees it, so that what comes with it has come."""

WINDOW = 60
"""That Lambda then gathers messages for one call."""

ROLLOUT = 900
"""Of one deployment at most, by our estimate: a task's start, the pull of its image, its first checks and the end of
the one before it take about five minutes, and a task that does not start is tried again."""

REDEPLOYED = DELAY + WINDOW + ROLLOUT
"""With NativeRef."""
