"""What breaks a rule for AWS that is about rotation and the functions that do it: one thing a row."""

from __future__ import annotations

from policies.rule import CONCEALED
from tests.unit.aws_breaks import NO_VALUE, PRIVATE_KEY, gone, prod
from tests.unit.policy_plans import Break, added, row

OF_ROTATION = (
    row("aws-functions-called-by-named", prod, "rotate-mqtt-called", "principal", to="*"),
    row("aws-functions-called-by-named", prod, "rotate-mqtt-called", "sourceArn", to=None),
    row("aws-functions-called-by-named", prod, "rotate-mqtt-called", "sourceArn", to="*"),
    row("aws-functions-called-by-named", prod, "rotate-mqtt-called", "sourceArn", to="arn:aws:*"),
    row("aws-functions-called-by-named", prod, "rotate-mqtt-called", "sourceAccount", to=None),
    Break(
        rule="aws-functions-called-by-named",
        plan=prod,
        change=added("aws:lambda/functionUrl:FunctionUrl", {"authorizationType": "NONE"}),
        also=frozenset({"aws-account-named"}),
    ),
    row(
        *("aws-functions-hold-no-value", prod, "redeploy-service-function", "environment", "variables", "CLUSTER"),
        to=PRIVATE_KEY,
        unknown=False,
        also=NO_VALUE,
    ),
    row(
        "aws-functions-hold-no-value",
        prod,
        "redeploy-service-function",
        "environment",
        "variables",
        "MQTT_PASSWORD",
        to="a text",
        unknown=False,
        also=NO_VALUE,
    ),
    row("aws-functions-hold-no-value", prod, "tick-function", "environment", "variables", to=CONCEALED, also=NO_VALUE),
    row("aws-functions-failures-told", prod, "tick-function", "deadLetterConfig", to=None),
    row("aws-functions-failures-told", prod, "schedule", "target", "deadLetterConfig", to=None),
    row("aws-functions-failures-told", prod, "alarm-rotate-mqtt-letters", "alarmActions", to=[]),
    row("aws-functions-failures-told", prod, "alarm-rotate-mqtt-letters", "actionsEnabled", to=False),
    row("aws-functions-failures-told", prod, "alarm-rotate-mqtt-letters", "dimensions", "QueueName", to="another"),
    row("aws-rotation-scheduled", prod, "rotate-mqtt-schedule", "rotationRules", "automaticallyAfterDays", to=91),
    row(
        "aws-rotation-scheduled",
        prod,
        "rotate-mqtt-schedule",
        "rotationRules",
        to={"scheduleExpression": "rate(1 day)"},
    ),
    row("aws-rotation-scheduled", prod, "rotate-mqtt-schedule", "rotationLambdaArn", to=None),
    row(
        "aws-rotation-scheduled", prod, "rotate-mqtt-schedule", "secretId", to="arn:aws:secretsmanager:::secret:other-x"
    ),
    gone("aws-rotation-scheduled", "rotate-broker-admin-schedule"),
    row("aws-tick-hourly", prod, "schedule", "scheduleExpression", to="rate(2 hours)"),
    row("aws-tick-hourly", prod, "schedule", "scheduleExpression", to="cron(0 3 * * ? *)"),
    row("aws-tick-hourly", prod, "schedule", "state", to="DISABLED"),
    gone("aws-tick-hourly", "schedule"),
    row("aws-rotation-failures-told", prod, "rotation-failures", "eventPattern", to='{"source": ["aws.ec2"]}'),
    row("aws-rotation-failures-told", prod, "rotation-failures", "state", to="DISABLED"),
    row("aws-rotation-failures-told", prod, "rotation-failures-told", "rule", to="another"),
    gone("aws-rotation-failures-told", "rotation-failures-told"),
    gone("aws-rotation-failures-told", "alerts-policy"),
    *(
        row("aws-rotation-failures-told", prod, f"alarm-tick-{what}", "alarmActions", to=[])
        for what in ("overdue", "failed", "missing")
    ),
)
