"""Rules on containers, vault, the lease's storage account, and provider of a stack on Azure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from policies.containers import HAS_CREDENTIAL, PLAIN, UNPINNED, in_plain_sight, no_credential, pinned
from policies.controls import controls
from policies.matchers import at, between, is_set, is_true, judge, matches, not_set, one_of, require, select
from policies.plan import Finding, Plan, Resource
from policies.rule import PRODUCTION, Each, Expect, Rule, protected, rows

STORE = "coreflux-mcp-secrets:azure:SecretStore"
PROVIDER = "pulumi:providers:azure-native"
APP, JOB = "azure-native:app:ContainerApp", "azure-native:app:Job"
RUN, _OF = (APP, JOB), "configuration."
ENVIRONMENT = "azure-native:app:ManagedEnvironment"
VAULT = "azure-native:keyvault:Vault"
ACCOUNT, CONTAINER = "azure-native:storage:StorageAccount", "azure-native:storage:BlobContainer"
FEDERATION = "azure-native:managedidentity:FederatedIdentityCredential"

# Audience of tokens that Entra exchanges (https://learn.microsoft.com/entra/workload-id/workload-identity-federation).
AUDIENCE = "api://AzureADTokenExchange"


def store_needs(kind: str, what: str, wrong: str) -> Callable[[Plan], Iterator[Finding]]:
    """Return a check of the plan that requires a resource of type `kind` in a stack with an Azure store."""

    def look(plan: Plan) -> Iterator[Finding]:
        for store in plan.of_type(STORE):
            yield from require(store, list(plan.of_type(kind)), what, wrong)

    return look


def _variables(one: Resource) -> Iterator[Finding]:
    for kind in ("containers", "initContainers"):
        for variable in select(one.properties, f"template.{kind}[].env[]"):
            name = at(variable, "name")
            # As text: a resource id that is unknown yet does not count as a secret, whatever its name is.
            pair = (name, str(at(variable, "value")))
            wrong = f"{PLAIN}, visible to readers of the resource; let the launcher fetch the secret"
            yield from judge(one, pair, lambda pair: not in_plain_sight(*pair), f"the variable {name}", wrong)
        for what in (f"template.{kind}[].command", f"template.{kind}[].args"):
            for words in select(one.properties, what):
                entry = words and [str(word) for word in words]  # a resource id that is unknown yet is no credential
                yield from judge(one, entry, no_credential, what, HAS_CREDENTIAL)


def _is_mains(lives: list[Any]) -> bool:
    return lives.count("Main") == 1 and {*lives} <= {"Main", "None"}


def _identities(one: Resource) -> Iterator[Finding]:
    lives = [*select(one.properties, f"{_OF}identitySettings[].lifecycle")]
    wrong = "give more than the main container an identity; set one lifecycle to Main and all others to None"
    yield from judge(one, lives, _is_mains, "configuration.identitySettings", wrong)


def _made_elsewhere(one: Resource) -> Iterator[Finding]:
    if not one.provider:
        yield Finding(
            one.urn, "uses the default provider, whose subscription az login selects; pass the stack's provider"
        )


ENCRYPTED = ("azure",)
VALUES = (
    r"azure-native:keyvault(/v\w+)?:(Secret|Key)",
    r"azure:keyvault/(secret|key|certificate):\w+",
    r"azuread:index/(\w+Password|user):\w+",
)
HOLDS = (protected(VAULT),)
IMAGES = tuple(Expect(RUN, f"template.{kind}[].image", pinned, UNPINNED) for kind in ("containers", "initContainers"))

RULES = (
    Rule(
        name="azure-app-speaks-tls",
        sentence="The container app rejects requests without TLS, and traffic between nodes is encrypted.",
        controls=controls(
            "CC6.7 4.2.1 8.3.2 164.312(e)(1) 164.312(e)(2)(ii) 32(1)(a)", "tokens and replies are encrypted in transit"
        ),
        limitation="The rule does not check which version of TLS a client uses: Container Apps accepts 1.2 and later.",
        checks=(
            *rows(
                APP,
                (
                    f"{_OF}ingress.allowInsecure",
                    one_of(False),
                    "is not false: clients' tokens travel in plain text; set false",
                ),
            ),
            *rows(
                ENVIRONMENT,
                ("peerTrafficConfiguration.encryption.enabled", is_true, "is off: nodes use plain text; set true"),
            ),
        ),
    ),
    Rule(
        name="azure-app-stays-up",
        sentence="At least one replica of the server always runs.",
        controls=controls("32(1)(b)", "the server stays available"),
        limitation="The rule does not prove that a replica is healthy: its probes check that.",
        # Without minReplicas, the minimum is 0 (https://learn.microsoft.com/azure/container-apps/scale-app).
        checks=rows(
            APP,
            ("template.scale.minReplicas", between(1, 1000), "is 0 or missing: the server may stop; set 1"),
        ),
    ),
    Rule(
        name="azure-containers-hold-no-value",
        sentence="No app or job contains a secret value. It reads secrets and pulls images with a managed identity.",
        controls=controls("CC6.1 8.6.2 164.312(a)(1) 32(1)(b)", "the configuration contains no credential"),
        limitation="The rule does not find a secret value in a variable with a harmless name: tests search deployed "
        "stacks for real values.",
        checks=(
            *rows(
                RUN,
                (
                    "secrets[].keyVaultUrl",
                    is_set,
                    "is missing: the app stores the value; set keyVaultUrl, or let the launcher fetch the secret",
                ),
                (
                    "secrets[].identity",
                    is_set,
                    "is missing; set the server's identity, or let the launcher fetch the secret",
                ),
                (
                    "secrets[].value",
                    not_set,
                    "is set: readers of the app see the value; set keyVaultUrl, or let the launcher fetch the secret",
                ),
                ("registries[].username", not_set, "is set: a password pulls the image; set an identity"),
                ("registries[].passwordSecretRef", not_set, "is set: a password pulls the image; set an identity"),
                below=_OF,
            ),
            Each(RUN, _variables),
        ),
    ),
    Rule(
        name="azure-federation-bound",
        sentence="A cluster's identity accepts only tokens of one service account that are issued for Entra.",
        controls=controls("CC6.1 7.2.5 8.6.1 164.312(d)", "an application account is used only by its program"),
        limitation="The rule does not check who in the cluster may start a pod as that service account.",
        checks=rows(
            FEDERATION,
            (
                "subject",
                matches("system:serviceaccount:[a-z0-9-]+:[a-z0-9.-]+"),
                "is not one service account; write system:serviceaccount:NAMESPACE:NAME",
            ),
            ("issuer", matches("https://.*"), "is not HTTPS: anybody could issue tokens; set the cluster's issuer"),
            ("audiences", one_of([AUDIENCE]), f"accept tokens for other services; set {AUDIENCE} alone"),
        ),
    ),
    Rule(
        name="azure-identities-for-program-only",
        sentence="Only the main container of an app or job can use the identity that reads secrets.",
        controls=controls("CC6.3 7.2.5 164.312(d)", "only the program that needs an identity has it"),
        limitation="The rule does not prove that nobody opens a shell in the container: an alert reports the token "
        "that this requires.",
        checks=(
            Each(RUN, _identities),
            *rows(
                RUN,
                (
                    "identity.type",
                    one_of("UserAssigned"),
                    "is not UserAssigned: only such an identity has its roles at the start; set UserAssigned",
                ),
            ),
        ),
    ),
    Rule(
        name="azure-storage-closed",
        sentence="The storage account requires TLS 1.2 and a role: it accepts no shared key, no local user and no "
        "public access.",
        controls=controls("CC6.1 CC6.7 7.3.2 164.312(e)(1) 32(1)(a)", "a caller needs a role and TLS"),
        limitation="The rule does not check encryption at rest: Azure encrypts every account, and nobody can turn "
        "that off.",
        checks=rows(
            ACCOUNT,
            ("enableHttpsTrafficOnly", is_true, "is not true: the account accepts plain text; set true"),
            (
                "minimumTlsVersion",
                one_of("TLS1_2", "TLS1_3"),
                "is missing or below 1.2: old versions are weak; set TLS1_2",
            ),
            ("allowSharedKeyAccess", one_of(False), "is not false: a key needs no role; set false"),
            ("isLocalUserEnabled", one_of(False), "is not false: a local user needs no role; set false"),
            ("allowBlobPublicAccess", one_of(False), "is not false: blobs may be public; set false"),
            ("allowCrossTenantReplication", one_of(False), "is not false: another tenant may copy blobs; set false"),
        )
        + rows(CONTAINER, ("publicAccess", one_of(None, "None"), "is on: the internet reads blobs; set None")),
        across=store_needs(ACCOUNT, "storage account", "no lease keeps two rotations apart; add a StorageAccount"),
        types=(STORE,),
    ),
    Rule(
        name="azure-subscription-named",
        sentence="All Azure resources are in the subscription and tenant that the stack file names.",
        controls=controls("CC6.1 CC8.1 6.5.3 32(1)(b)", "a change reaches the approved subscription only"),
        limitation="The rule does not prove that another environment's file names another subscription: compare the "
        "two files.",
        checks=(
            *rows(
                PROVIDER,
                (
                    "subscriptionId",
                    is_set,
                    "is missing: az login would select the subscription; set store.subscription",
                ),
                ("tenantId", is_set, "is missing: az login would select the tenant; set store.tenant"),
            ),
            Each("azure-native:*", _made_elsewhere),
        ),
    ),
    Rule(
        name="azure-tick-hourly",
        sentence="Every hour a job runs the tick, which rotates due secrets. Only one tick runs at a time.",
        controls=controls("CC6.1 CC7.2 8.6.3 32(1)(d)", "due passwords are changed within the hour"),
        limitation="The rule does not prove that a tick succeeds: azure-rotation-failures-alerted covers failures.",
        checks=rows(
            JOB,
            (f"{_OF}triggerType", one_of("Schedule"), "is not Schedule: secrets become overdue; set Schedule"),
            (f"{_OF}scheduleTriggerConfig.cronExpression", matches(r"\S+( \*){4}"), "is not hourly; set 0 * * * *"),
            (f"{_OF}scheduleTriggerConfig.parallelism", one_of(1), "is not 1: ticks compete for the lease; set 1"),
            (
                f"{_OF}replicaTimeout",
                between(1, 3599),
                "is missing, or an hour or more: a tick that hangs delays the next; set 1800",
            ),
            ("template.containers[].args", lambda args: "tick" in (args or ()), "lack tick: nothing rotates; add tick"),
        ),
        across=store_needs(JOB, "scheduled job", "nothing is rotated; add a job"),
        types=(STORE,),
    ),
    Rule(
        name="azure-vault-by-role",
        sentence="Only role assignments give access to the vault.",
        controls=controls("CC6.1 CC6.3 7.3.1 7.3.2 7.3.3 164.312(a)(1) 32(1)(b)", "access without a role is denied"),
        limitation="Roles on the resource group or the subscription also give access to the vault.",
        checks=rows(
            VAULT,
            ("enableRbacAuthorization", is_true, "is not true: access would be to the whole vault; set true"),
            ("accessPolicies", not_set, "let a principal read all secrets; assign roles on single secrets"),
            ("enabledForDeployment", not_set, "lets a service of Azure read without a role; set false"),
            ("enabledForDiskEncryption", not_set, "lets a service of Azure read without a role; set false"),
            ("enabledForTemplateDeployment", not_set, "lets a service of Azure read without a role; set false"),
            below="properties.",
        ),
    ),
    Rule(
        name="azure-vault-recovers",
        sentence="Deleted secrets can be recovered: in production for 90 days, and nobody can purge them sooner.",
        controls=controls("A1.2 164.312(c)(1) 32(1)(c)", "a deletion by mistake can be undone"),
        limitation="The rule does not prove that somebody notices a deletion in time: azure-tampering-alerted covers "
        "that.",
        checks=(
            *rows(
                VAULT,
                (
                    "enablePurgeProtection",
                    is_true,
                    "is not true: deleted secrets can be purged; set enable_purge_protection",
                ),
                (
                    "softDeleteRetentionInDays",
                    one_of(None, 90),
                    "is not 90 days, the maximum and the default; remove this property",
                ),
                below="properties.",
                environments=PRODUCTION,
            ),
            *rows(VAULT, ("properties.enableSoftDelete", one_of(None, True), "is off: a deletion is final; set true")),
        ),
    ),
)
