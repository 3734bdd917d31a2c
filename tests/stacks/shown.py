"""A plan in one text, so that two can be compared whoever has read them."""

import json
from dataclasses import asdict

from policies.plan import Plan


def whole(plan: Plan) -> str:
    return json.dumps(asdict(plan), default=repr, sort_keys=True, indent=1)
