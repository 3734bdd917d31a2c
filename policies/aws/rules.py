"""Rules on programs and networks in AWS, and on encryption, rotation and deletion of secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from policies import aws
from policies.aws.documents import TASK, container_check, needs, without
from policies.containers import PLAIN, UNPINNED, in_plain_sight, no_credential, pinned
from policies.controls import controls
from policies.matchers import (
    at,
    between,
    is_present,
    is_set,
    is_true,
    judge,
    listed,
    matches,
    not_set,
    one_of,
    open_cidr,
)
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import PRODUCTION, Each, Expect, Rule, protected

LISTENER, BALANCER = "aws:lb/listener:Listener", "aws:lb/loadBalancer:LoadBalancer"
SERVICE = "aws:ecs/service:Service"
GROUP, GROUP_RULE = "aws:ec2/securityGroup:SecurityGroup", "aws:ec2/securityGroupRule:SecurityGroupRule"
BLOCKS = ("cidrBlocks", "ipv6CidrBlocks")
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
# Days until AWS deletes a key or a secret for good: AWS' maximum, which is also the default.
RECOVERY_DAYS = 30
# The provider rotates immediately by default, and AWS calls the function with a version that has no value yet:
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
AT_ONCE = "is not false: pulumi up would fail, because the secret has no value yet; set rotate_immediately=False"
SECRET_ARN = matches(r"arn:aws[a-z-]*:secretsmanager:.*")
MODERN = "ELBSecurityPolicy-TLS13-1-"
NOT_MODERN = f"is not a policy of TLS 1.3, or of 1.3 and 1.2; set {MODERN}2-2021-06"
# Maximum age of a password in days (Secret Management Guide). PCI DSS 8.6.3 sets no number.
MOST_DAYS = 90


# Prefix of the handlers of functions that read values: rotations and tick, but not the function that redeploys tasks.
READS = "secretops."


def _reading(plan: Plan) -> list[Resource]:
    return [one for one in plan.of_type(aws.FUNCTION) if str(at(one.properties, "handler")).startswith(READS)]


def _any_in_vpc(plan: Plan) -> bool:
    networks = [at(one.properties, "vpcConfig", "subnetIds") for one in _reading(plan)]
    return any(network is UNKNOWN or network for network in networks)


def _outside_vpc(plan: Plan) -> Iterator[Finding]:
    for one in _reading(plan):
        for what in ("subnetIds", "securityGroupIds"):
            wrong = "is empty, while another function is in a VPC; set store.vpc, which applies to all functions"
            yield from judge(one, at(one.properties, "vpcConfig", what), is_set, f"vpcConfig.{what}", wrong)


def _variables_of_function(function: Resource) -> Iterator[Finding]:
    variables = at(function.properties, "environment", "variables")
    wrong = "is not a mapping of names to texts; write a mapping"
    names = {} if isinstance(variables, Mapping) else variables
    yield from judge(function, names, lambda names: names in (None, {}), "environment.variables", wrong)
    for name, text in variables.items() if isinstance(variables, Mapping) else ():
        if in_plain_sight(name, text):
            yield Finding(function.urn, f"environment.variables.{name} {PLAIN}; read the secret by its ARN")


def _values_of_container(task: Resource, container: Any, of: str) -> Iterator[Finding]:
    for variable in listed(at(container, "environment")):
        name = at(variable, "name")
        if in_plain_sight(name, at(variable, "value")):
            yield Finding(task.urn, f"{of} environment {name} {PLAIN}; inject the secret by `secrets` and `valueFrom`")
    for variable in listed(at(container, "secrets")):
        what = f"{of} valueFrom of {at(variable, 'name')}"
        yield from judge(
            task,
            at(variable, "valueFrom"),
            SECRET_ARN,
            what,
            "is not the ARN of a Secrets Manager secret; set that ARN",
        )
    if at(container, "environmentFiles"):
        yield Finding(task.urn, f"{of} environmentFiles read variables from a bucket; inject secrets by `secrets`")
    for path in ("command", "entryPoint", "healthCheck.command"):
        words = listed(at(container, *path.split(".")))
        yield from judge(
            task, words, no_credential, f"{of} {path}", "contains a credential; inject the secret by `secrets`"
        )


def _closed(task: Resource, container: Any, of: str) -> Iterator[Finding]:
    rows: list[tuple[str, Any, str]] = [
        ("privileged", not_set, "is on; remove it"),
        ("readonlyRootFilesystem", is_true, "is not true: the root file system is writable; set true"),
        (
            "linuxParameters.capabilities",
            _no_capability,
            "do not drop ALL, or add a capability; set drop: [ALL], and remove add",
        ),
        ("logConfiguration.logDriver", one_of("awslogs"), "is not awslogs; set awslogs"),
    ]
    if at(container, "essential") is not False:
        rows.append(("user", _not_root, "is root, or not set; set the user of the image"))
    for path, ok, wrong in rows:
        yield from judge(task, at(container, *path.split(".")), ok, f"{of} {path}", wrong)


def _no_capability(capabilities: Any) -> bool:
    return "ALL" in listed(at(capabilities, "drop")) and not at(capabilities, "add")


def _not_root(user: Any) -> bool:
    return isinstance(user, str) and user.partition(":")[0] not in ("", "0", "root")


def _group_rule(one: Resource) -> Iterator[Finding]:
    for what in BLOCKS if at(one.properties, "type") != "egress" else ():
        yield from judge(one, at(one.properties, what), lambda all_: not any(map(open_cidr, listed(all_))), what, OPEN)


def _unencrypted(one: Resource) -> Iterator[Finding]:
    if at(one.properties, "sqsManagedSseEnabled") is not True:
        wrong = "is not set: messages are stored in plain text; set a KMS key, or for a queue sqsManagedSseEnabled"
        yield from judge(one, at(one.properties, "kmsMasterKeyId"), is_present, "kmsMasterKeyId", wrong)


HOURLY = matches(r"rate\((1 hour|[1-9] minutes?|[1-5]\d minutes|60 minutes)\)")
# Kinds of secret that alternate between two users of a broker.
ALTERNATING = ("mqtt-user", "broker-admin")


def _unrotated(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(aws.STORE):
        if not plan.manifest:
            yield Finding(store.urn, "the list of secrets that rotate is known after pulumi up", unknown=True)
        rotated = [one for one in listed(at(plan.manifest, "secrets")) if at(one, "kind") in ALTERNATING]
        names = [at(plan.manifest, "store", "secrets", str(at(one, "name"))) for one in rotated]
        for name in without(plan, ROTATION, "secretId", [name for name in names if isinstance(name, str)]):
            yield Finding(
                store.urn,
                f"the store has no rotation for secret {name}: its value would never change; add a SecretRotation",
            )


OPEN = "contains a network larger than /8, such as the whole internet; name the networks of clients"
OWN_KEY = matches(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/.+")
NOT_OWN = "is not the ARN of a KMS key: nobody can change the policy of AWS' default key; set kms_key_id"
EARLY = (
    f"is not {RECOVERY_DAYS} days, the time in which a deletion by mistake can be undone; remove this property to use "
    "that default"
)
WITHIN = between(1, MOST_DAYS)
NEVER = "is not set: nothing rotates the secret; set the ARN of the function that rotates it"
TOO_LATE = f"is not from 1 to {MOST_DAYS}; set automatically_after_days to {MOST_DAYS} or less"
FOREIGN = "adds code that this program does not pack; put that code into the package"
RESERVED = "is set: pulumi up fails in a new account, whose quota is too small; remove this property"
LEAK = (
    "The rule does not find a secret value in a variable with a harmless name: tests search deployed stacks for real "
    "values."
)

ENCRYPTED = ("aws",)
VALUES = (
    r"aws:iam/(accessKey|userLoginProfile|serviceSpecificCredential):\w+",
    r"aws:(secretsmanager/secretVersion|ssm/parameter|kms/ciphertext|lightsail/keyPair):\w+",
    "aws-native:secretsmanager:Secret",
)
HOLDS = (protected(aws.SECRET, aws.KEY),)


def _images(one: Resource) -> Iterator[Finding]:
    found = at(one.properties, "containerDefinitions")
    try:
        found = json.loads(found) if isinstance(found, str) else found
    except ValueError:
        found = None
    yield from judge(
        one, found, lambda it: isinstance(it, list), "containerDefinitions", "is not a JSON list; write a JSON list"
    )
    for container in listed(found):
        yield from judge(one, at(container, "image"), pinned, f"{at(container, 'name')}: image", UNPINNED)


IMAGES = (Each(TASK, _images),)

RULES = (
    Rule(
        name="aws-balancer-speaks-tls",
        sentence="A load balancer accepts only HTTPS, with TLS 1.2 or later.",
        controls=controls(
            "CC6.7 4.2.1 8.3.2 164.312(e)(1) 164.312(e)(2)(ii) 32(1)(a)", "tokens and replies are encrypted in transit"
        ),
        limitation="The load balancer calls the task by plain HTTP within the VPC.",
        checks=(
            Expect(
                LISTENER, "protocol", one_of("HTTPS"), "is not HTTPS: bearer tokens travel in plain text; set HTTPS"
            ),
            Expect(LISTENER, "sslPolicy", matches(f"{MODERN}[23]-.+"), NOT_MODERN),
            Expect(LISTENER, "certificateArn", is_set, "is not set; set the ARN of an ACM certificate"),
            Expect(
                BALANCER,
                "dropInvalidHeaderFields",
                is_true,
                "is not true: an invalid header can smuggle a request; set true",
            ),
        ),
    ),
    Rule(
        name="aws-deletion-waits",
        sentence="In production, a deleted secret or key can be restored for 30 days.",
        controls=controls("A1.2 164.312(c)(1) 32(1)(c)", "a deletion by mistake can be undone"),
        limitation="The rule does not check whether somebody notices the deletion in time: aws-tampering-alerted "
        "judges that.",
        checks=(
            Expect(aws.KEY, "deletionWindowInDays", one_of(None, RECOVERY_DAYS), EARLY),
            Expect(aws.SECRET, "recoveryWindowInDays", one_of(None, RECOVERY_DAYS), EARLY),
        ),
        environments=PRODUCTION,
    ),
    Rule(
        name="aws-functions-hold-no-value",
        sentence="No environment variable of a Lambda function is a credential.",
        controls=controls("CC6.1 8.6.2 164.312(a)(1) 32(1)(b)", "the configuration contains no credential"),
        limitation=LEAK,
        checks=(Each(aws.FUNCTION, _variables_of_function),),
    ),
    Rule(
        name="aws-functions-reserve-no-concurrency",
        sentence="No function reserves concurrency: the quota of a new account is too small. The lease serializes "
        "rotations.",
        controls=controls("32(1)(b)", "the rotation functions can be deployed"),
        limitation="The rule does not check whether other functions use up the account's quota.",
        checks=(Expect(aws.FUNCTION, "reservedConcurrentExecutions", one_of(None, -1), RESERVED),),
    ),
    Rule(
        name="aws-functions-run-own-code",
        sentence="A function runs only code that this program packages: no layer, container image or S3 object.",
        controls=controls("CC6.8 6.5.1 164.312(c)(1)", "only reviewed code runs where values are read"),
        limitation="The rule does not check what is in the package: it is scanned where it is built.",
        checks=tuple(Expect(aws.FUNCTION, what, not_set, FOREIGN) for what in ("layers", "imageUri", "s3Bucket")),
    ),
    Rule(
        name="aws-functions-share-network",
        sentence="If one function that reads values is in a VPC, all such functions are.",
        controls=controls("CC6.6 1.3.2 164.312(e)(1)", "values stay within the VPC"),
        limitation="The rule does not check what the VPC's security groups and endpoints let out: their owner decides.",
        across=_outside_vpc,
        applies=_any_in_vpc,
    ),
    Rule(
        name="aws-keys-rotate",
        sentence="AWS rotates every KMS key of the stack each year.",
        controls=controls("CC6.1 8.3.2 164.312(a)(2)(iv) 32(1)(a)", "encryption keys are renewed"),
        limitation="The rule does not check a key that the stack file names. AWS can still decrypt data under older "
        "key material.",
        checks=(Expect(aws.KEY, "enableKeyRotation", is_true, "is not true: AWS would never renew the key; set true"),),
    ),
    Rule(
        name="aws-messages-encrypted",
        sentence="Every SQS queue and SNS topic is encrypted.",
        controls=controls("CC6.1 164.312(a)(2)(iv) 32(1)(a)", "messages are encrypted at rest"),
        limitation="The rule does not check whether a message contains a secret value: tests search deployed stacks "
        "for real values.",
        checks=(Each((aws.QUEUE, aws.TOPIC), _unencrypted),),
    ),
    Rule(
        name="aws-network-not-public",
        sentence="No task, load balancer or security group of the stack is open to the internet.",
        controls=controls("CC6.6 1.3.1 1.4.2 164.312(a)(1)", "nobody on the internet reaches the server"),
        limitation="The rule does not check what the security groups that a stack file names let in: their owner "
        "decides.",
        checks=(
            Expect(
                SERVICE,
                "networkConfiguration.assignPublicIp",
                not_set,
                "is on: tasks get public addresses; remove this property",
            ),
            Expect(BALANCER, "internal", is_true, "is not true: the load balancer gets a public address; set true"),
            *(Expect(GROUP, f"ingress[].{what}[]", lambda cidr: not open_cidr(cidr), OPEN) for what in BLOCKS),
            *(Expect(INGRESS, what, lambda cidr: not open_cidr(cidr), OPEN) for what in ("cidrIpv4", "cidrIpv6")),
            Each(GROUP_RULE, _group_rule),
        ),
    ),
    Rule(
        name="aws-rotation-scheduled",
        sentence="Secrets Manager rotates the passwords of broker users and the broker admin at least every 90 days.",
        controls=controls("CC6.1 8.6.3 164.312(d) 32(1)(b)", "passwords of applications change on a schedule"),
        limitation="The rule does not check whether rotations succeed: secretops status shows that. Operator-supplied "
        "secrets are not rotated.",
        checks=(
            Expect(ROTATION, "rotationRules.automaticallyAfterDays", WITHIN, TOO_LATE),
            Expect(ROTATION, "rotationLambdaArn", is_set, NEVER),
            Expect(ROTATION, "rotateImmediately", one_of(False), AT_ONCE),
        ),
        across=_unrotated,
        types=(aws.STORE,),
    ),
    Rule(
        name="aws-secrets-under-own-key",
        sentence="Every secret, and every replica of a secret, is encrypted by a KMS key of the account, not by AWS' "
        "default key.",
        controls=controls("CC6.1 8.3.2 164.312(a)(2)(iv) 32(1)(a)", "credentials are encrypted by a managed key"),
        later="the id of a KMS key is known only after AWS creates the key",
        limitation="The rule does not check who may use the key: aws-key-policies-bound judges that.",
        checks=tuple(Expect(aws.SECRET, path, OWN_KEY, NOT_OWN) for path in ("kmsKeyId", "replicas[].kmsKeyId")),
    ),
    Rule(
        name="aws-tasks-closed",
        sentence="Every container logs, is unprivileged and has a read-only root file system; essential containers "
        "don't run as root.",
        controls=controls("CC6.1 CC6.8 2.2.6 7.2.5", "an attacker in the server gains little"),
        limitation="The rule does not check what is in the image: it is scanned where it is built.",
        checks=(container_check(_closed),),
    ),
    Rule(
        name="aws-tasks-have-no-shell",
        sentence="ECS Exec is off, so nobody can open a shell in a task.",
        controls=controls("CC6.1 8.6.1 10.2.1.2 164.312(b)", "no person reads a value without a record"),
        limitation="The rule does not prevent a shell in a task that somebody runs by hand: an alarm reports the task "
        "if it has a role of the stack.",
        checks=(
            Expect(
                SERVICE,
                "enableExecuteCommand",
                not_set,
                "is on: a shell could read values without a record; remove this property",
            ),
        ),
    ),
    Rule(
        name="aws-tasks-hold-no-value",
        sentence="No variable or command of a task contains a credential. Variables name the ARN of a secret instead.",
        controls=controls("CC6.1 8.6.2 164.312(a)(1) 32(1)(b)", "the configuration contains no credential"),
        limitation=LEAK,
        checks=(container_check(_values_of_container),),
    ),
    Rule(
        name="aws-tick-hourly",
        sentence="A schedule runs the tick at least once an hour.",
        controls=controls("CC7.2 8.6.3 32(1)(d)", "due passwords are changed within the hour"),
        limitation="The rule does not check whether a tick succeeds: aws-rotation-failures-alerted checks that a "
        "failure sets off an alarm.",
        checks=(
            Expect(aws.SCHEDULE, "scheduleExpression", HOURLY, "is not a rate of an hour or less; set rate(1 hour)"),
            Expect(aws.SCHEDULE, "state", one_of(None, "ENABLED"), "is not ENABLED; set ENABLED"),
        ),
        across=needs(aws.SCHEDULE, "schedule", "nothing runs the tick; add a schedule"),
        types=(aws.STORE,),
    ),
)
