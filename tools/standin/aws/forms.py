"""Patterns that values in AWS must match, such as ARNs."""

from __future__ import annotations

from tools.standin.forms import Like

ARN = Like(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}|aws)?:.+", "an ARN")

FUNCTION_ARN = Like(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,64}(:(\$LATEST|[A-Za-z0-9_-]+))?",
    "the ARN of a function",
)
