"""The actions of AWS, from cfn-lint's copy of AWS' list (Policies.json of its AdditionalSpecs).

IAM accepts unknown actions, which have no effect. The stand-in rejects them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tools.standin.cloud import RefusedError
from tools.standin.sdk_types import did_you_mean

_REFERENCE = "AWS' Service Authorization Reference"


class KnownAction:
    """Accepts known actions. `*` and `?` are IAM's wildcards."""

    def problem(self, action: Any) -> tuple[str, str] | None:
        if not isinstance(action, str) or action == "*":
            return None
        service, colon, name = action.lower().partition(":")
        if not colon:
            return "an action must name its service", "write service:Action"
        if service not in _listed():
            return "AWS has no service with this prefix", did_you_mean(service, _listed(), listed=_REFERENCE)
        wanted = re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in name))
        if any(map(wanted.fullmatch, _listed()[service])):
            return None
        return f"{service} has no action of this name", did_you_mean(name, _listed()[service], listed=_REFERENCE)


@cache
def _listed() -> Mapping[str, frozenset[str]]:
    # Reads cfn-lint's file, because importing cfn-lint is slow.
    package = find_spec("cfnlint")
    if package is None or package.origin is None:
        raise RefusedError("cfn-lint is not installed: the stand-in needs its list of AWS's actions; run `make setup`")
    listed = json.loads((Path(package.origin).parent / "data/AdditionalSpecs/Policies.json").read_text())
    return {service: frozenset(about["Actions"]) for service, about in listed.items()}
