"""How many secrets a stack may have: the role of the tick names each of them, and IAM takes so much text and no more.

No other role, and no key, names as many: tests hold all of them to AWS' quotas, and this count to the tick's own text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from secretops.platforms.aws.location import AwsPrivateCaIssuer

from ..core.secrets import client_name
from ..settings.section import IssuerSection
from . import policies
from .access import TICK
from .names import Names
from .settings import AwsPrivateCa, AwsStore

ROLE_LIMIT = 10_240
"""Characters of all of a role's inline policies; white space is not counted (AWS, IAM and AWS STS quotas)."""


def characters_of_tick(store: AwsStore, names: Names, secrets: Sequence[str], issuer: IssuerSection | None) -> int:
    """Of what the tick's role may: as rotation.py and functions.py write it, of ARNs that are as long as AWS' own."""
    endpoint = store.vpc.way_out if store.vpc else None
    asked = issuer.issuer_of(client_name(names.stack)) if isinstance(issuer, AwsPrivateCa) else None
    statements = [
        policies.own_log(names.log_arn(f"/aws/lambda/{names.plain(TICK)}")),
        policies.allow(("sqs:SendMessage",), [names.letters_arn]),
        *(policies.in_vpc(names.function_arn(TICK)) if store.vpc else []),
        policies.values(
            (*policies.READ, *policies.WRITE),
            [names.secret_pattern(secret) for secret in secrets],
            endpoint=endpoint if endpoint and endpoint.startswith("vpce-") else None,
        ),
        policies.lease(names.lease_arn),
        *(
            policies.key_use(
                policies.USE if region == store.region else policies.COPY,
                store.kms_key or names.at(region).any_key,
                region,
                [names.at(region).secret_pattern(secret) for secret in secrets],
            )
            for region in (store.region, *store.replicas)
        ),
        *(policies.signature(asked) if isinstance(asked, AwsPrivateCaIssuer) else []),
    ]
    return len(json.dumps({"Version": policies.VERSION, "Statement": statements}, separators=(",", ":")))
