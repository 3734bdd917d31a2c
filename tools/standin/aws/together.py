"""Rules of AWS that concern several properties: dependencies, alternatives, sums."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.standin.problems import MISSING, Problem
from tools.standin.sdk_types import snake
from tools.standin.wire import has_unknown, is_unknown

Inputs = Mapping[str, Any]

# A property -> another one that it requires.
NEEDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    # Lambda API reference, FunctionCode.
    "aws:lambda/function:Function": (("s3Bucket", "s3Key"), ("s3Key", "s3Bucket")),
    # CloudTrail API reference, CreateTrail.
    "aws:cloudtrail/trail:Trail": (
        ("cloudWatchLogsGroupArn", "cloudWatchLogsRoleArn"),
        ("cloudWatchLogsRoleArn", "cloudWatchLogsGroupArn"),
    ),
    # CloudWatch API reference, PutMetricAlarm; the provider's page of the resource.
    "aws:cloudwatch/metricAlarm:MetricAlarm": (
        ("metricName", "namespace"), ("metricName", "period"), ("evaluationCriteria", "evaluationInterval"),
    ),
}  # fmt: skip

# Names of variables that Lambda itself sets (Lambda developer guide, Defined runtime environment variables).
RESERVED = frozenset(
    {
        *("_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV"),
        *("AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"),
        *("AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME"),
        *("AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"),
    }
)

# Maximum bytes of a function's variables as JSON (Lambda developer guide, quotas).
ENVIRONMENT_BYTES = 4096

WEEK, DAY, HOUR = 604800, 86400, 3600


def problems(token: str, inputs: Inputs) -> Iterator[Problem]:
    for name, needed in NEEDS.get(token, ()):
        if inputs.get(name) is not None and inputs.get(needed) is None:
            yield Problem(needed, MISSING, f"{snake(name)} requires {snake(needed)}", f"add {snake(needed)}")
    if rule := _RULES.get(token):
        yield from rule(inputs)


def _pattern(inputs: Inputs) -> Iterator[Problem]:
    # The leaves of a pattern are lists (EventBridge user guide, creating event patterns).
    text = inputs.get("eventPattern")
    if text is None and inputs.get("scheduleExpression") is None:
        yield Problem(
            "eventPattern",
            MISSING,
            "a rule must have a pattern or a schedule",
            "add event_pattern or schedule_expression",
        )
    if not isinstance(text, str) or is_unknown(text):
        return
    try:
        pattern = json.loads(text)
    except ValueError as error:
        yield Problem("eventPattern", text, f"a pattern must be JSON ({error})", "write the pattern with json.dumps")
        return
    if not isinstance(pattern, Mapping):
        yield Problem("eventPattern", pattern, "a pattern must be a JSON object", "write {field: [values]}")
        return
    yield from _leaves(pattern, "eventPattern")


def _leaves(pattern: Any, at: str) -> Iterator[Problem]:
    if isinstance(pattern, Mapping) and pattern:
        for name, inner in pattern.items():
            if name != "$or":
                yield from _leaves(inner, f"{at}.{name}")
    elif not isinstance(pattern, list) or not pattern:
        yield Problem(at, pattern, "a pattern must compare a field with a list", "put the value into a list")


def _redrive(inputs: Inputs) -> Iterator[Problem]:
    # SQS API reference, CreateQueue.
    text = inputs.get("redrivePolicy")
    if not isinstance(text, str) or is_unknown(text):
        return
    try:
        policy = json.loads(text)
    except ValueError as error:
        yield Problem("redrivePolicy", text, f"a redrive policy must be JSON ({error})", "write it with json.dumps")
        return
    if not isinstance(policy, Mapping) or set(policy) != {"deadLetterTargetArn", "maxReceiveCount"}:
        yield Problem(
            "redrivePolicy",
            policy,
            "a redrive policy must have only deadLetterTargetArn and maxReceiveCount",
            "write both keys",
        )
    elif not 1 <= _number(str(policy["maxReceiveCount"])) <= 1000:  # noqa: PLR2004
        yield Problem("redrivePolicy", policy, "maxReceiveCount must be from 1 to 1000", "write a number in this range")


def _rotation(inputs: Inputs) -> Iterator[Problem]:
    # Secrets Manager API reference, RotateSecret and RotationRulesType.
    if inputs.get("rotationLambdaArn") is None:
        yield Problem("rotationLambdaArn", MISSING, "a rotation requires a function", "add rotation_lambda_arn")
    rules = inputs.get("rotationRules")
    if not isinstance(rules, Mapping):
        return
    given = [name for name in ("automaticallyAfterDays", "scheduleExpression") if rules.get(name) is not None]
    if len(given) != 1:
        yield Problem(
            "rotationRules",
            rules,
            "exactly one of days and schedule must be set",
            "set automatically_after_days or schedule_expression",
        )
    hours = re.fullmatch(r"rate\((\d+) hours?\)", str(rules.get("scheduleExpression")))
    window = re.fullmatch(r"(\d+)h", str(rules.get("duration")))
    if hours and window and int(window[1]) > int(hours[1]):
        yield Problem(
            "rotationRules.duration", window[0], "a window must end before the next one begins", f"write {hours[1]}h"
        )


def _function(inputs: Inputs) -> Iterator[Problem]:
    # Lambda API reference, CreateFunction.
    if inputs.get("packageType", "Zip") == "Zip":
        for name in ("handler", "runtime"):
            if inputs.get(name) is None:
                yield Problem(
                    at=name, value=MISSING, rule=f"a function from a zip file requires {name}", remedy=f"add {name}"
                )
    environment = inputs.get("environment")
    variables = environment.get("variables") if isinstance(environment, Mapping) else None
    if not isinstance(variables, Mapping):
        return
    for name in sorted(RESERVED & variables.keys()):
        yield Problem(f"environment.variables.{name}", name, "Lambda itself sets this variable", "rename the variable")
    size = len(json.dumps(variables, separators=(",", ":"), ensure_ascii=False).encode())
    if not has_unknown(variables) and size > ENVIRONMENT_BYTES:
        rule = f"all variables together may have at most {ENVIRONMENT_BYTES} bytes"
        yield Problem("environment.variables", f"{size} bytes", rule, "move values into the package")


def _alarm(inputs: Inputs) -> Iterator[Problem]:
    # PutMetricAlarm. botocore's model only requires the name.
    kinds = ("metricName", "metricQueries", "evaluationCriteria")
    given = [name for name in kinds if inputs.get(name) not in (None, [])]
    if len(given) != 1:
        value: object = given or MISSING
        yield Problem("metricName", value, f"exactly one of {', '.join(map(snake, kinds))} must be set", "set one")
    if given == ["evaluationCriteria"]:
        return
    either = (("comparisonOperator",), ("evaluationPeriods",), ("threshold", "thresholdMetricId"))
    of_one = (("statistic", "extendedStatistic"),) if given == ["metricName"] else ()
    for names in (*either, *of_one):
        if all(inputs.get(name) is None for name in names):
            wanted = " or ".join(map(snake, names))
            yield Problem(names[0], MISSING, f"an alarm on a metric requires {wanted}", f"add {wanted}")
    period, periods = inputs.get("period"), inputs.get("evaluationPeriods")
    if isinstance(period, int) and isinstance(periods, int):
        most = DAY if period < HOUR else WEEK
        if period * periods > most:
            rule = f"with periods of {period} seconds, an alarm may evaluate at most {most} seconds"
            yield Problem("evaluationPeriods", periods, rule, f"set at most {most // period}")


def _schedule(inputs: Inputs) -> Iterator[Problem]:
    # Windows of 1 to 1440 minutes (EventBridge Scheduler user guide, flexible time windows).
    window = inputs.get("flexibleTimeWindow")
    if isinstance(window, Mapping) and window.get("mode") == "FLEXIBLE" and not window.get("maximumWindowInMinutes"):
        at = "flexibleTimeWindow.maximumWindowInMinutes"
        yield Problem(at, MISSING, "a FLEXIBLE window must have a length", "add maximum_window_in_minutes")


def _lock(inputs: Inputs) -> Iterator[Problem]:
    # S3 API reference, DefaultRetention.
    rule = inputs.get("rule")
    retention = rule.get("defaultRetention") if isinstance(rule, Mapping) else None
    if not isinstance(retention, Mapping):
        return
    at = "rule.defaultRetention"
    if retention.get("mode") is None:
        yield Problem(f"{at}.mode", MISSING, "a retention must have a mode", "write GOVERNANCE or COMPLIANCE")
    if (retention.get("days") is None) == (retention.get("years") is None):
        yield Problem(at, retention, "exactly one of days and years must be set", "set days or years")


def _trail(inputs: Inputs) -> Iterator[Problem]:
    # The provider's page on trails requires the wildcard for streams.
    group = inputs.get("cloudWatchLogsGroupArn")
    if isinstance(group, str) and not is_unknown(group) and not group.endswith(":*"):
        yield Problem("cloudWatchLogsGroupArn", group, "the ARN must include all streams of the group", "add :*")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1


_RULES: Mapping[str, Callable[[Inputs], Iterator[Problem]]] = {
    "aws:secretsmanager/secretRotation:SecretRotation": _rotation,
    "aws:cloudwatch/eventRule:EventRule": _pattern,
    "aws:cloudwatch/metricAlarm:MetricAlarm": _alarm,
    "aws:scheduler/schedule:Schedule": _schedule,
    "aws:sqs/queue:Queue": _redrive,
    "aws:lambda/function:Function": _function,
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": _lock,
    "aws:cloudtrail/trail:Trail": _trail,
}
