"""Lambda function that starts one deployment for all new versions in its messages.

The function's package is this file alone; the runtime has boto3.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

# An event's time is rounded down to seconds; a deployment's is not.
A_SECOND = timedelta(seconds=1)

# Prefix of the id of the empty version that secretops makes current before the first value.
NO_VALUE = "secretops-no-value-"


def handle(
    event: Mapping[str, Any], _context: object, ecs: Any = None, secrets: Any = None
) -> dict[str, list[dict[str, str]]]:
    """Start a deployment unless one began after the newest version and has not failed. Return the messages that SQS
    must redeliver: none of secrets that no task reads.

    SQS redelivers each message until a deployment that began later is complete. If ECS rolls a deployment back, tasks
    have the old values, so another deployment starts. Errors of ECS propagate; SQS then redelivers all messages.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html

    While a secret has no value, no task can start, so the function drops the messages. When the secret gets its first
    value, another message starts a deployment with all values.
    """
    if ecs is None:
        import boto3

        ecs, secrets = boto3.client("ecs"), boto3.client("secretsmanager")
    names = os.environ["SECRETS"].split()
    bodies = {one["messageId"]: json.loads(one["body"]) for one in event["Records"]}
    came = {
        message: datetime.fromisoformat(body["time"])
        for message, body in bodies.items()
        if body["detail"]["name"] in names
    }
    if not came:
        return {"batchItemFailures": []}
    if empty := [name for name in names if not _has_value(secrets, name)]:
        print(json.dumps({"level": "INFO", "message": f"no task starts without a value of {', '.join(empty)}"}))  # noqa: T201 - a log
        return {"batchItemFailures": []}
    cluster, service = os.environ["CLUSTER"], os.environ["SERVICE"]
    (found,) = ecs.describe_services(cluster=cluster, services=[service])["services"]
    (primary,) = (one for one in found["deployments"] if one["status"] == "PRIMARY")
    begun, state = primary["createdAt"], primary["rolloutState"]
    brought = [message for message, time in came.items() if begun >= time + A_SECOND]
    if len(brought) < len(came) or state == "FAILED":
        ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True)
        text = f"started a deployment for the version of {max(came.values()):%Y-%m-%d %H:%M:%S}"
    else:
        text = f"the deployment of {begun:%H:%M:%S} has all new versions, and is {state}"
    done = set(brought) if state == "COMPLETED" else set()
    print(json.dumps({"level": "INFO", "message": text, "waiting": len(came) - len(done)}))  # noqa: T201 - a log
    return {"batchItemFailures": [{"itemIdentifier": message} for message in came if message not in done]}


def _has_value(secrets: Any, name: str) -> bool:
    found = secrets.describe_secret(SecretId=name).get("VersionIdsToStages", {})
    return any("AWSCURRENT" in labels and not version.startswith(NO_VALUE) for version, labels in found.items())
