"""The table of breaks. Each row breaks one rule by changing one property of a valid plan. A rule's second row is for a
recorded mutant."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from policies.plan import CONCEALED, UNKNOWN, Environment, Plan
from secretops.values import new_password
from tests.unit.azure_ids import SUBSCRIPTION
from tests.unit.policy_plans import Break, Change, added, changed, unprotected

NO_VALUE = "stack-holds-no-value"
# As a whole a scanner would take it for a key.
PRIVATE_KEY = f"-----BEGIN {'PRIVATE'} KEY-----"
BIND = {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}
LATEST = "registry.example.com/coreflux-mcp-secrets:latest"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/plant"
OTHERS_SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:coreflux-mcp/prod/mqt?-??????"


def row(rule: str, plan: str, at: str, path: str, to: Any, *, unknown: bool = True, also: str = "") -> Break:
    """Return a break that sets one property. The steps of `path` are separated by `>`; a number is an index of a
    list."""
    steps = [int(step) if step.isdigit() else step for step in path.split(">")]
    return Break(
        rule=rule,
        plan=plan,
        change=changed(at, *steps, to=to),
        unknown=changed(at, *steps, to=UNKNOWN) if unknown else None,
        also=frozenset(also.split()),
    )


def more(rule: str, plan: str, kind: str, properties: Mapping[str, Any], *, also: str = "") -> Break:
    """Return a break that adds a resource that must not exist."""
    return Break(rule=rule, plan=plan, change=added(kind, properties), also=frozenset(also.split()))


def as_if(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def granted(at: str, role: str, scope: str) -> Change:
    """Return a change of a role assignment's role and scope."""
    return changed(at, to=lambda there: {**there, "roleDefinitionId": role, "scope": scope})


def right(path: str, capability: str) -> Callable[[str], str]:
    """Return a function that adds a capability to a policy of Vault."""
    return lambda policy: f'{policy}path "{path}" {{\n  capabilities = ["{capability}"]\n}}\n'


def secret(name: str, **entries: Any) -> Callable[[Any], Any]:
    """Return a function that changes entries of one secret in the manifest."""
    return lambda secrets: [one | entries if one["name"] == name else one for one in secrets]


def key_file() -> str:
    return f"{PRIVATE_KEY}\n{base64.b64encode(bytes(48)).decode()}\n-----END {'PRIVATE'} KEY-----\n"


def _in_production(plan: Plan) -> Plan:
    return replace(plan, environment=Environment.PRODUCTION)


TICK = "policy>Statement>2>"
KEY_USE = "policy>Statement>4>Condition>"
DENIAL = "policy>Statement>1>"
READERS = f"{DENIAL}Condition>ArnNotEquals>aws:PrincipalArn"
TRUST = "assumeRolePolicy>Statement>0>"
CONTAINER = "containerDefinitions>0>"
TASK = "aws:ecs/taskDefinition:TaskDefinition"
ANYBODY = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
PUBLIC = json.dumps({"Statement": ANYBODY})
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
MANAGED = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
EXCLUSIVE = "aws:iam/rolePolicyAttachmentsExclusive:RolePolicyAttachmentsExclusive"
KEY_POLICY = "aws:kms/keyPolicy:KeyPolicy"
INTRUDER = "arn:aws:iam::123456789012:role/intruder"
LAYER = "arn:aws:lambda:eu-central-1:210987654321:layer:tracing:1"
VARIABLE = "environment>variables>MQTT_PASSWORD"
RING, NOT_PUBLIC, LEAST = "aws-alarms-ring-at-once", "aws-policies-not-public", "aws-least-privilege"
FAILED, ALERTS = "alarm-tick-failed", "alerts-email-af3c8254"


def add(*entries: Any) -> Callable[[Any], Any]:
    return lambda there: [*([there] if isinstance(there, str) else there), *entries]


def foreign(text: str) -> str:
    """Replace this stack's name in a pattern with the name of another stack."""
    return text.replace("/prod/", "/other/").replace("-prod-", "-other-")


UNDECLARED = row("aws-secret-readers-declared", "prod", "policy-mqtt", READERS, add(INTRUDER))
IN_MANIFEST = changed("", "secretops", "store", "readers", "coreflux-mcp/prod/mqtt", to=add(INTRUDER))
AWS = (
    row("aws-account-named", "prod", "aws", "allowedAccountIds", None),
    row(RING, "prod", FAILED, "threshold", 100000),
    row(RING, "prod", FAILED, "comparisonOperator", "LessThanThreshold"),
    row(RING, "prod", FAILED, "evaluationPeriods", 12),
    row(RING, "prod", FAILED, "period", 86400),
    row(RING, "prod", FAILED, "statistic", "Minimum"),
    row(RING, "prod", "alarm-tick-missing", "treatMissingData", "notBreaching"),
    row("aws-balancer-speaks-tls", "aws+", "balancer-listener", "protocol", "HTTP"),
    row("aws-buckets-closed", "prod", "trail-bucket-closed", "blockPublicPolicy", False),
    row("aws-buckets-closed", "prod", "trail-bucket", "acl", "public-read"),
    row("aws-deletion-waits", "prod", "secret-mqtt", "recoveryWindowInDays", 0),
    row("aws-filters-match-this-stack", "prod", "filter-undeclared-read", "pattern", foreign),
    row("aws-filters-match-this-stack", "prod", "filter-function-change", "pattern", foreign),
    row("aws-filters-match-this-stack", "prod", "filter-deletion", "logGroupName", "/coreflux-mcp/other/trail"),
    row("aws-function-failures-alerted", "prod", "alarm-letters", "alarmActions", [], also=RING),
    row("aws-functions-called-by-named", "prod", "rotate-mqtt-called", "sourceArn", "*"),
    row("aws-functions-called-by-named", "prod", "rotate-mqtt-called", "sourceAccount", "210987654321"),
    row("aws-functions-hold-no-value", "prod", "tick-function", VARIABLE, "a text", unknown=False, also=NO_VALUE),
    row("aws-functions-reserve-no-concurrency", "prod", "tick-function", "reservedConcurrentExecutions", 1),
    row("aws-functions-run-own-code", "prod", "tick-function", "layers", [LAYER]),
    row("aws-functions-share-network", "aws+", "tick-function", "vpcConfig", None),
    row("aws-key-policies-bound", "prod", "key", "policy>Statement>0>Action", "kms:*"),
    row("aws-key-policies-bound", "prod", "key", f"{DENIAL}Condition>StringEquals", {}),
    row("aws-keys-open-named-secrets", "prod", "tick-grants", f"{KEY_USE}StringLike", {}),
    row("aws-keys-rotate", "prod", "key", "enableKeyRotation", False),
    row(LEAST, "prod", "tick-grants", f"{TICK}Action", add("iam:PassRole")),
    row(LEAST, "prod", "tick-grants", f"{TICK}Resource", add(OTHERS_SECRET)),
    row(LEAST, "prod", "tick-grants", f"{TICK}Action", "secretsmanager:*"),
    row(LEAST, "prod", "task-role", "managedPolicyArns", [ADMINISTRATOR]),
    row(LEAST, "prod", "task-role", "inlinePolicies", [{"name": "all", "policy": PUBLIC}]),
    *(
        more(LEAST, "prod", kind, {"policy": PUBLIC}, also="aws-account-named")
        for kind in (MANAGED, EXCLUSIVE, KEY_POLICY)
    ),
    row(
        *(LEAST, "prod", "tick-grants", "policy>Statement", add({"Effect": "Allow", "action": "*", "resource": "*"})),
        also="aws-keys-open-named-secrets",
    ),
    row("aws-logs-retained", "prod", "tick-log", "retentionInDays", 30),
    row("aws-logs-retained", "prod", "tick-log", "retentionInDays", None),
    row("aws-logs-retained", "prod", "tick-function", "loggingConfig>logGroup", "/aws/lambda/other"),
    row("aws-messages-encrypted", "prod", "alerts", "kmsMasterKeyId", None, unknown=False),
    row("aws-network-not-public", "aws+", "balancer", "internal", False),
    row("aws-plain-text-denied", "prod", "policy-mqtt", "policy>Statement>0>Action", "secretsmanager:PutX"),
    row("aws-plain-text-denied", "aws+", ALERTS, "protocol", "http"),
    row(NOT_PUBLIC, "prod", "alerts-policy", "policy>Statement>0>Principal", "*"),
    row(NOT_PUBLIC, "prod", "trail-bucket-policy", "policy>Statement", add({**ANYBODY, "Action": "s3:GetObject"})),
    row(NOT_PUBLIC, "prod", "key", f"{DENIAL}Principal>AWS", "arn:aws:iam::210987654321:root"),
    row(NOT_PUBLIC, "prod", "alerts-policy", "policy", as_if("123456789012", "210987654321")),
    *(row(NOT_PUBLIC, "prod", at, "policy", PUBLIC) for at in ("secret-mqtt", "alerts", "letters", "trail-bucket")),
    row("aws-reads-alerted", "prod", "alarm-undeclared-read", "alarmActions", [], also=RING),
    row("aws-reads-alerted", "prod", "alarm-undeclared-read", "namespace", "AWS/Lambda"),
    row("aws-records-encrypted", "prod", "trail-log", "kmsKeyId", None, unknown=False),
    row("aws-roles-taken-by-named", "prod", "schedule-role", f"{TRUST}Condition", {}),
    row("aws-roles-taken-by-named", "prod", "task-role", f"{TRUST}Principal>CanonicalUser", "another"),
    row("aws-roles-taken-by-named", "prod", "trail-role", f"{TRUST}Condition>Bool>aws:ViaAWSService", "true"),
    row("aws-rotation-failures-alerted", "prod", "rotation-failures", "state", "DISABLED"),
    row("aws-rotation-failures-alerted", "prod", FAILED, "dimensions>Stack", "other"),
    row("aws-rotation-scheduled", "prod", "rotate-mqtt-schedule", "rotationRules>automaticallyAfterDays", 91),
    row("aws-rotation-scheduled", "prod", "rotate-mqtt-schedule", "rotateImmediately", True),
    UNDECLARED,
    replace(UNDECLARED, change=lambda plan: IN_MANIFEST(UNDECLARED.change(plan))),
    row("aws-secrets-deny-others", "prod", "policy-mqtt", f"{DENIAL}Action", "secretsmanager:DescribeSecret"),
    row("aws-secrets-deny-others", "prod", "policy-mqtt", f"{DENIAL}Condition>IpAddress>aws:SourceIp", "192.0.2.0/24"),
    row("aws-secrets-under-own-key", "prod", "secret-mqtt", "kmsKeyId", None),
    row("aws-tampering-alerted", "prod", "filter-trail-change", "pattern", "{ ($.eventName = X) }"),
    row("aws-tasks-closed", "prod", TASK, f"{CONTAINER}privileged", True),
    row("aws-tasks-have-no-shell", "prod", "service", "enableExecuteCommand", True),
    row("aws-tasks-hold-no-value", "prod", TASK, f"{CONTAINER}environment>0>name", "MQTT_PASSWORD", also=NO_VALUE),
    row("aws-tasks-hold-no-value", "prod", TASK, f"{CONTAINER}command", add("--password", "hunter2")),
    row("aws-tasks-hold-no-value", "prod", TASK, f"{CONTAINER}entryPoint", ["sh", "-c", "MQTT_PASSWORD=hunter2 run"]),
    row("aws-tick-hourly", "prod", "schedule", "scheduleExpression", "rate(2 hours)"),
    row("aws-trail-intact", "prod", "trail-bucket", "forceDestroy", True),
    row("aws-trail-records-reads", "prod", "trail-trail", "enableLogging", False),
    row("aws-trail-retained-a-year", "prod", "trail-bucket-locked", "rule>defaultRetention>days", 364),
)

CLOSED, SCOPED, HOUR = "azure-network-closed-wholly", "azure-roles-scoped", "azure-tick-hourly"
FIRE, READS, FAILURES = "azure-alerts-fire", "azure-reads-alerted", "azure-rotation-failures-alerted"
PLAIN, CRITERION, ROLES = "prod-azure", "criteria>allOf>0>", f"{GROUP}/roleDefinitions/"
OFFICER, SECRETS_USER = f"{ROLES}b86a8fe4-44ce-4948-aee5-eccb2c155cd7", f"{ROLES}4633458b-17de-408a-b874-0445c86b69e6"
KEY_VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/v"
READ_ALERT, ACL, SETTINGS = "alert-undeclared-read", "networkAcls>", "configuration>"
AZURE = (
    row(FIRE, PLAIN, "told", "enabled", False),
    row(FIRE, PLAIN, "alert-access-change", "condition>allOf>0>equals", "Security"),
    row(FIRE, PLAIN, READ_ALERT, "windowSize", "PT5M"),
    row(FIRE, PLAIN, "alert-tick-missing", "windowSize", "PT1H"),
    row(FIRE, PLAIN, READ_ALERT, "evaluationFrequency", "P1D"),
    row(FIRE, PLAIN, READ_ALERT, f"{CRITERION}threshold", 1000),
    row(FIRE, PLAIN, READ_ALERT, f"{CRITERION}query", as_if("HttpStatusCode", "StatusCode")),
    row(FIRE, PLAIN, READ_ALERT, f"{CRITERION}query", as_if("requestUri_s", "requesturi_s")),
    row(FIRE, PLAIN, "alert-near-expiry", f"{CRITERION}query", as_if("_subject_s", "_name_s")),
    row(FIRE, PLAIN, "alert-tick-missing", f"{CRITERION}query", as_if("Logs", "Logs_CL"), also=FAILURES),
    row(FIRE, PLAIN, READ_ALERT, f"{CRITERION}failingPeriods>minFailingPeriodsToAlert", 6),
    row("azure-app-not-public", PLAIN, "app", f"{SETTINGS}ingress>external", True),
    row("azure-app-not-public", "azure+", "environment", "vnetConfiguration>internal", False),
    row("azure-app-speaks-tls", PLAIN, "app", f"{SETTINGS}ingress>allowInsecure", True),
    row("azure-app-stays-up", PLAIN, "app", "template>scale>minReplicas", 0),
    row("azure-app-stays-up", PLAIN, "app", "template>scale", None),
    row("azure-containers-hold-no-value", PLAIN, "app", f"{SETTINGS}secrets", [{"name": "mqtt", "value": "a text"}]),
    row("azure-containers-hold-no-value", PLAIN, "app", "template>containers>0>args", ["--password", "hunter2"]),
    row("azure-federation-bound", "prod-azure-kubernetes", "sync-federation", "subject", "system:serviceaccount:x:*"),
    row("azure-identities-for-program-only", PLAIN, "app", f"{SETTINGS}identitySettings>1>lifecycle", "All"),
    row(CLOSED, PLAIN, "vault", f"properties>{ACL}bypass", "AzureServices"),
    row(CLOSED, PLAIN, "lease-account", "networkRuleSet>bypass", "Logging, Metrics"),
    row(CLOSED, PLAIN, "", "gaps>network", "", unknown=False),
    row(CLOSED, "azure-closed", "vault", f"properties>{ACL}defaultAction", "Allow"),
    row(CLOSED, "azure+", "vault", f"properties>{ACL}ipRules", [{"value": "0.0.0.0/0"}]),
    row(CLOSED, "azure-closed", "lease-account", "networkRuleSet", None),
    row("azure-private-endpoints-named", "azure-closed", "vault-name", "privateDnsZoneConfigs", []),
    row(READS, PLAIN, READ_ALERT, f"{CRITERION}query", as_if("Status == 200", "Status == 2000")),
    row(READS, PLAIN, "alert-denied-read", "enabled", False, unknown=False, also=FIRE),
    row("azure-reads-recorded", PLAIN, "vault-audit", "logs>0>enabled", False),
    row("azure-reads-recorded", PLAIN, "environment-logs", "logs>0>category", "ContainerAppSystemLogs"),
    row("azure-roles-narrow", PLAIN, "rotator-leases", "roleDefinitionId", f"{ROLES}owner", also=SCOPED),
    row(SCOPED, PLAIN, "server-reads-mqtt", "scope", KEY_VAULT),
    row(SCOPED, PLAIN, "server-reads-mqtt", "roleDefinitionId", OFFICER),
    Break(rule=SCOPED, plan=PLAIN, change=granted("server-reads-mqtt", OFFICER, KEY_VAULT)),
    Break(rule=SCOPED, plan=PLAIN, change=granted("platform-pulls", SECRETS_USER, f"{KEY_VAULT}/secrets/mqtt")),
    row(SCOPED, PLAIN, "platform-pulls", "principalType", "User"),
    row(SCOPED, PLAIN, "rotator-keeps-secrets", "principalType", "User"),
    row(SCOPED, PLAIN, "server-reads-mqtt", "principalType", "User"),
    row(SCOPED, PLAIN, "server-reads-mqtt", "principalType", None),
    row(FAILURES, PLAIN, "alert-tick-failed", "actions>actionGroups", [], unknown=False, also=FIRE),
    row("azure-storage-closed", PLAIN, "lease-account", "allowSharedKeyAccess", None),
    row("azure-subscription-named", PLAIN, "azure", "subscriptionId", None),
    row("azure-tampering-alerted", PLAIN, "alert-access-change", "enabled", False, unknown=False, also=FIRE),
    row(
        "azure-tampering-alerted", PLAIN, "alert-access-change", "condition>allOf>2>anyOf>2>equals", "Microsoft.X/write"
    ),
    row(HOUR, PLAIN, "job", f"{SETTINGS}scheduleTriggerConfig>cronExpression", "0 3 * * *"),
    row(HOUR, PLAIN, "job", f"{SETTINGS}triggerType", "Event"),
    row("azure-trail-retained", PLAIN, "workspace", "retentionInDays", 364),
    row("azure-vault-by-role", PLAIN, "vault", "properties>enableRbacAuthorization", False),
    row("azure-vault-recovers", PLAIN, "vault", "properties>enablePurgeProtection", None),
)

TIMER, FILES, FOLDER = "systemd/coreflux-mcp-secrets-dev.timer", "dotenv-files-are-the-owners", "secrets-folder"
TICKS, OURS = "dotenv-ticks-by-the-hour", "dotenv-folder-is-one-stacks"
DOTENV = (
    row(FILES, "dev", FOLDER, "modes>config/.env", "644"),
    row(FILES, "dev", FOLDER, "modes>certs/client.key", "640"),
    row(FILES, "dev", FOLDER, "modes>certs/ca.crt", "666"),
    row(FILES, "dev", FOLDER, "modes", {"certs/client.key": "600"}),
    row(OURS, "dev", FOLDER, "stack", "another"),
    row(OURS, "dev", "server-files", "stack", "another"),
    row(OURS, "dev", FOLDER, "root", "secrets"),
    row(OURS, "dev", FOLDER, "root", "/etc"),
    Break(
        rule="dotenv-is-for-development",
        plan="dev",
        change=_in_production,
        also=frozenset({"stack-speaks-tls-to-the-broker"}),
    ),
    row("dotenv-public-files-are-public", "dev", "server-files", "files>config/mcp.json", CONCEALED, also=NO_VALUE),
    row("dotenv-public-files-are-public", "dev", "server-files", "files>../mcp.json", "{}", unknown=False),
    row("dotenv-public-files-are-public", "dev", "server-files", "lines>MQTT_PASSWORD", "a text", also=NO_VALUE),
    row(TICKS, "dev", "rotator", f"files>{TIMER}", as_if("OnCalendar=hourly", "OnCalendar=daily")),
    row(TICKS, "dev", "rotator", f"files>{TIMER[:-5]}service", as_if("UMask=0077", "UMask=0022")),
    row(TICKS, "dev", "rotator", "files>systemd/another.timer", "OnCalendar=hourly\nPersistent=yes", unknown=False),
)

POD = "spec>template>spec>"
BOX = f"{POD}containers>0>"
COPY = "spec>provider>aws>auth"
RBAC, NETWORK = "kubernetes:rbac.authorization.k8s.io/v1", "kubernetes-network-names-both-ends"
NETWORK_POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
PORT_80 = {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}], "ports": [{"port": 80}]}
KUBERNETES = (
    row("kubernetes-bindings-name-accounts", "staging", "rotator-binding", "subjects>0>kind", "Group"),
    row(
        *("kubernetes-bindings-name-accounts", "staging", "rotator-binding", "subjects>0>name", "default"),
        also="kubernetes-tokens-are-used",
    ),
    row("kubernetes-bindings-name-accounts", "staging", "rotator-binding", "subjects>0>namespace", "other"),
    row("kubernetes-bindings-name-accounts", "staging", "rotator-binding", "roleRef>kind", "ClusterRole"),
    row("kubernetes-bindings-name-accounts", "staging", "rotator-binding", "roleRef>name", "another"),
    more("kubernetes-bindings-name-accounts", "staging", f"{RBAC}:ClusterRoleBinding", {}),
    row("kubernetes-certificates-are-new", "staging-certified", "certificate", "spec>duration", "8760h"),
    row("kubernetes-copies-are-fresh", "prod-aws-kubernetes", "synced-mqtt", "spec>refreshInterval", "1h"),
    row("kubernetes-copying-has-no-key", "prod-aws-kubernetes", "secret-store", COPY, {}),
    more(
        *(
            "kubernetes-copying-has-no-key",
            "prod-aws-kubernetes",
            "kubernetes:external-secrets.io/v1:ClusterSecretStore",
        ),
        {"spec": {"provider": {"aws": {"auth": {"jwt": {"serviceAccountRef": {"name": "s"}}}}}}},
    ),
    row(
        *("kubernetes-namespace-is-restricted", "staging", "namespace"),
        *("metadata>labels>pod-security.kubernetes.io/enforce", "baseline"),
    ),
    row("kubernetes-namespace-is-restricted", "staging", "namespace", "metadata>labels", None),
    row("kubernetes-network-is-closed", "staging", "default-deny", "spec>policyTypes", ["Ingress"]),
    row(NETWORK, "staging", "server-network", "spec>ingress>0>from", [{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
    row(NETWORK, "staging", "server-network", "spec>egress>1>ports>0>port", 53),
    row(NETWORK, "staging", "rotator-network", "spec>egress>0", PORT_80),
    more(NETWORK, "staging", NETWORK_POLICY, {"spec": {"ingress": [{}], "egress": [{}]}}),
    row("kubernetes-pods-are-isolated", "staging", "deployment", f"{POD}hostNetwork", True),
    row("kubernetes-pods-are-isolated", "staging", "deployment", f"{POD}volumes>0>hostPath", {"path": "/"}),
    row("kubernetes-pods-are-isolated", "staging", "deployment", f"{BOX}ports>0>hostPort", 8080),
    row("kubernetes-pods-run-as-non-root", "staging", "deployment", f"{BOX}securityContext>runAsNonRoot", False),
    row("kubernetes-pods-run-as-non-root", "staging", "deployment", f"{POD}securityContext>runAsUser", 0),
    row("kubernetes-pods-gain-nothing", "staging", "deployment", f"{BOX}securityContext>privileged", True),
    row(
        "kubernetes-pods-gain-nothing", "staging", "deployment", f"{BOX}securityContext>capabilities>add", ["SYS_ADMIN"]
    ),
    row("kubernetes-provider-has-no-login", "staging", "cluster", "kubeconfig", "apiVersion: v1"),
    row("kubernetes-roles-name-objects", "staging", "rotator-role", "rules>0>verbs", ["get", "list", "watch"]),
    row("kubernetes-roles-name-objects", "staging", "rotator-role", "rules>0>resources", ["*"]),
    row("kubernetes-roles-name-objects", "staging", "rotator-role", "rules>0>resourceNames", None),
    row("kubernetes-root-is-read-only", "staging", "deployment", f"{BOX}securityContext>readOnlyRootFilesystem", False),
    row("kubernetes-secret-files-are-closed", "staging", "deployment", f"{POD}volumes>1>projected>defaultMode", 0o444),
    row("kubernetes-secrets-are-files", "staging", "deployment", f"{BOX}args", ["--password", "hunter2"]),
    row("kubernetes-secrets-are-files", "staging", "deployment", f"{BOX}envFrom>0>secretRef", {"name": "s"}),
    row(
        *("kubernetes-secrets-are-files", "staging", "deployment", f"{BOX}env"),
        [{"name": "MQTT", "valueFrom": {"secretKeyRef": {"name": "s", "key": "mqtt"}}}],
    ),
    row("kubernetes-service-is-inside", "staging", "service", "spec>type", "LoadBalancer"),
    more("kubernetes-service-is-inside", "staging", "kubernetes:networking.k8s.io/v1:Ingress", {"spec": {}}),
    row("kubernetes-ticks-are-alone", "staging", "rotator-cronjob", "spec>concurrencyPolicy", "Allow"),
    row("kubernetes-tokens-are-used", "staging", "server-account", "automountServiceAccountToken", None),
    row("kubernetes-tokens-are-used", "staging", "deployment", f"{POD}automountServiceAccountToken", True),
)

SECRETS = "secretops>secrets"
STACK = (
    more("stack-declares-no-value", "staging", "kubernetes:core/v1:Secret", {"stringData": {}}),
    more("stack-declares-no-value", "prod", "random:index/randomPassword:RandomPassword", {"length": 40}),
    more("stack-declares-no-value", "prod-vault-kubernetes", "vault:index/token:Token", {}),
    row("stack-has-a-trail", "prod", "", "trail>records", ""),
    row(NO_VALUE, "dev", "", "leaked", CONCEALED, unknown=False),
    row(NO_VALUE, "dev", "", "broker_password", "hunter2"),
    row(NO_VALUE, "staging", "kubernetes:core/v1:ConfigMap", "data>motd", new_password(), unknown=False),
    row(NO_VALUE, "staging", "kubernetes:core/v1:ConfigMap", "data>client.pem", key_file(), unknown=False),
    row("stack-images-are-pinned", "prod", TASK, f"{CONTAINER}image", LATEST),
    row("stack-images-are-pinned", "prod-swarm", "service", "taskSpec>containerSpec>image", LATEST),
    row("stack-images-are-pinned", "prod-azure", "app", "template>containers>0>image", LATEST),
    row("stack-images-are-pinned", "staging", "deployment", f"{BOX}image", LATEST),
    row("stack-is-isolated", "prod", "", SECRETS, secret("mqtt", users=["coreflux-mcp-preprod-a", "x-b"])),
    row("stack-is-isolated", "prod-azure", "", "secretops>store>instance", "coreflux-mcp-staging"),
    row(
        *("stack-is-isolated", "prod-aws-kubernetes", "synced-mqtt", "spec>dataFrom>0>extract>key"),
        *("coreflux-mcp/staging/mqtt",),
        unknown=False,
    ),
    row("stack-is-encrypted-or-declares-it", "dev", "", "gaps>encryption at rest", ""),
    *(
        Break(rule="stack-is-protected-in-production", plan=plan, change=unprotected(at))
        for plan, at in (("prod", "secret-mqtt"), ("prod-azure", "vault"), ("prod-vault-kubernetes", "mount"))
    ),
    row("stack-server-reads-no-admin-secret", "prod", "", SECRETS, secret("broker-admin", readers=["server"])),
    row("stack-rotates-by-schedule", "prod", "", "schedule", "systemctl --user enable --now x.timer"),
    row("stack-rotates-in-time", "prod", "", SECRETS, secret("mqtt", cadence_days=91), unknown=False),
    row("stack-speaks-tls-to-the-broker", "prod", "", "secretops>broker>tls", False),
)

SERVICE, PUBLISHED, PORTS = "taskSpec>containerSpec>", "prod-swarm-published", "swarm-publishes-one-port"
GAIN, SOCKET, BACK = "swarm-services-gain-nothing", "swarm-socket-is-the-rotators", "swarm-updates-roll-back"
SWARM = (
    row("swarm-logs-retained", "swarm+", "service", "taskSpec>logDriver>name", "none"),
    row("swarm-network-is-encrypted", "swarm+", "network", "options>encrypted", None),
    row("swarm-network-is-encrypted", "swarm+", "network", "driver", "bridge"),
    row("swarm-provider-has-no-login", "swarm+", "swarm", "keyMaterial", "a key"),
    row(
        "swarm-provider-has-no-login", "swarm+", "swarm", "registryAuth",
        [{"address": "r", "password": "a text"}], also=NO_VALUE,
    ),
    row(PORTS, PUBLISHED, "service", "endpointSpec>ports>0>targetPort", 22),
    row(PORTS, PUBLISHED, "service", "endpointSpec>ports>0>publishMode", "host"),
    row(PORTS, PUBLISHED, "service", "endpointSpec>ports", lambda there: there * 2),
    row("stack-images-are-pinned", "swarm+", "rotator-service", f"{SERVICE}image", "registry.example.com/mcp"),
    row("swarm-root-is-read-only", "swarm+", "service", f"{SERVICE}readOnly", False),
    row("swarm-secrets-are-files", "swarm+", "service", f"{SERVICE}secrets>0>fileUid", "0"),
    row("swarm-secrets-are-files", "swarm+", "service", f"{SERVICE}secrets>0>fileMode", 0o440),
    row("swarm-secrets-are-files", "swarm+", "service", f"{SERVICE}args", ["--password", "hunter2"]),
    row("swarm-secrets-are-files", "swarm+", "service", f"{SERVICE}env>MQTT_PASSWORD", "a text", also=NO_VALUE),
    row(GAIN, "swarm+", "service", f"{SERVICE}capDrops", ["NET_RAW"]),
    row(GAIN, "swarm+", "service", f"{SERVICE}capAdds", ["NET_ADMIN"]),
    row(GAIN, PUBLISHED, "service", f"{SERVICE}user", "root"),
    row(SOCKET, "swarm+", "rotator-service", "mode>replicated>replicas", 2),
    row(SOCKET, "swarm+", "rotator-service", "taskSpec>placement>constraints", []),
    row(SOCKET, "swarm+", "rotator-service", f"{SERVICE}mounts>1>source", "/"),
    row(SOCKET, "swarm+", "service", f"{SERVICE}mounts", [BIND], unknown=False),
    row(BACK, "swarm+", "service", "updateConfig>failureAction", "continue"),
    row(BACK, "swarm+", "service", f"{SERVICE}healthcheck>tests", ["NONE"]),
)  # fmt: skip

PODS, EVERY = "prod-vault-kubernetes", "vault+"
PERMISSIONS = "spec>template>metadata>annotations>vault.hashicorp.com/agent-inject-perms-mqtt"
DATA = "coreflux-mcp-prod-vault-kubernetes/data/"
RUN, PATHS = "vault-operators-run-nothing", "vault-policies-name-paths"
VAULT = (
    row("vault-agent-files-are-closed", PODS, "deployment", PERMISSIONS, "0644"),
    row("vault-audit-hides-values", PODS, "audit-1", "options>log_raw", "true"),
    row("vault-audit-hides-values", PODS, "audit-1", "options>mode", "0644"),
    row("vault-audit-hides-values", PODS, "audit-1", "options>file_path", "discard"),
    row("vault-ca-keys-stay", EVERY, "pki-request", "type", "exported"),
    row("vault-ca-keys-stay", EVERY, "pki-request", "keyBits", 224),
    row("vault-ca-signs-clients-alone", EVERY, "pki-client", "serverFlag", True),
    row("vault-ca-signs-clients-alone", EVERY, "pki-client", "allowAnyName", True),
    row("vault-ca-signs-clients-alone", EVERY, "pki-client", "maxTtl", "8760h"),
    row("vault-is-reached-by-tls", PODS, "vault", "skipTlsVerify", "true"),
    row("vault-is-reached-by-tls", PODS, "vault", "address", "http://vault.example.com:8200"),
    row("vault-logins-are-bound", EVERY, "server-role", "boundSubject", "system:serviceaccount:coreflux-mcp:*"),
    row("vault-logins-are-bound", EVERY, "server-role", "boundSubject", None),
    row("vault-logins-are-bound", EVERY, "server-role", "boundAudiences", ["https://kubernetes.default.svc"]),
    row("vault-logins-are-bound", PODS, "server-role", "boundServiceAccountNames", ["*"]),
    row("vault-logins-are-bound", PODS, "server-role", "boundServiceAccountNames", add("default")),
    row("vault-logins-are-bound", PODS, "server-role", "boundServiceAccountNamespaceSelector", "{}"),
    more("vault-logins-are-bound", PODS, "vault:aws/authBackendRole:AuthBackendRole", {"tokenPolicies": ["root"]}),
    row("vault-logins-end", PODS, "server-role", "tokenMaxTtl", 0),
    row("vault-logins-end", PODS, "server-role", "tokenTtl", 86400),
    row("vault-logins-end", PODS, "server-role", "tokenPeriod", 3600),
    row(RUN, PODS, "operator-policy", "policy", right("sys/audit", "update")),
    *(
        row(RUN, PODS, "operator-policy", "policy", right(path, "update"))
        for path in (f"{DATA}*", "/sys/policies/acl/x", "+/policies/acl/x", "identity/entity", "auth/kubernetes/role/x")
    ),
    row(
        "vault-passwords-are-long", PODS, "passwords", "policy", lambda text: text.replace("length = 40", "length = 9")
    ),
    row("vault-pod-tokens-are-for-vault", PODS, "server-role", "audience", None),
    row(PATHS, PODS, "server-policy", "policy", right(f"{DATA}*", "read"), also=RUN, unknown=False),
    row(PATHS, PODS, "server-policy", "policy", right(f"{DATA}mqtt", "sudo"), also=RUN, unknown=False),
    row(PATHS, PODS, "server-policy", "policy", right("sys/policies/acl", "read")),
    row("vault-production-is-recorded", "vault-unrecorded", "", "trail>policy", ""),
    row("vault-provider-has-no-token", PODS, "vault", "token", "a token"),
    row("vault-revocations-are-published", EVERY, "pki-crl", "disable", True),
    row("vault-revocations-are-published", EVERY, "pki-crl", "expiry", "720h"),
    row("vault-roles-have-one-policy", PODS, "server-role", "tokenPolicies", ["admins"]),
    row("vault-roles-have-one-policy", PODS, "server-role", "tokenPolicies", ["root"]),
    row("vault-roles-have-one-policy", PODS, "server-role", "tokenNoDefaultPolicy", False),
    row("vault-versions-are-retained", PODS, "versions", "maxVersions", 1),
    row("vault-versions-are-retained", PODS, "versions", "casRequired", False),
)

BREAKS = (*AWS, *AZURE, *DOTENV, *KUBERNETES, *STACK, *SWARM, *VAULT)
