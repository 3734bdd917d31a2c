"""Write a plan as text, so that two plans can be compared."""

import json
from dataclasses import asdict

from policies.plan import Plan


def whole(plan: Plan) -> str:
    return json.dumps(asdict(plan), default=repr, sort_keys=True, indent=1)
