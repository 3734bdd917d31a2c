"""Rules on access in Azure: networks that can connect to a stack, and role assignments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from policies.azure.rules import ACCOUNT, APP, ENVIRONMENT, FEDERATION, JOB, VAULT
from policies.controls import controls
from policies.matchers import at, each, is_set, is_true, judge, listed, matches, one_of, open_cidr, require, with_name
from policies.plan import PROJECT, UNKNOWN, Finding, Plan, Resource
from policies.rule import Each, Rule, rows

ASSIGNMENT, DEFINITION = "azure-native:authorization:RoleAssignment", "azure-native:authorization:RoleDefinition"
ENDPOINT, ZONE_GROUP = "azure-native:network:PrivateEndpoint", "azure-native:network:PrivateDnsZoneGroup"
_NAME = "privateEndpointName"
USER, OFFICER = "4633458b-17de-408a-b874-0445c86b69e6", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
BLOBS = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

_RESOURCE = "/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+"
_BLOBS = f"{_RESOURCE}/blobServices/default/containers/[^/]+"
_VAULT = "/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.KeyVault/vaults/[^/]+"
_PERSON, _IDENTITY = "User", "ServicePrincipal"

# Azure's built-in roles that serve one purpose, by GUID: name, narrowest scope, types of principals. None can assign
# roles (https://learn.microsoft.com/azure/role-based-access-control/built-in-roles). Writing a secret requires a role
# on the vault (https://learn.microsoft.com/azure/key-vault/general/secure-key-vault).
ROLES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    USER: ("Key Vault Secrets User", f"{_VAULT}/secrets/[^/]+", (_PERSON, _IDENTITY)),
    OFFICER: ("Key Vault Secrets Officer", _VAULT, (_PERSON, _IDENTITY)),
    BLOBS: ("Storage Blob Data Contributor", _BLOBS, (_PERSON, _IDENTITY)),
    "73c42c96-874c-492b-b04d-ab87d138a893": ("Log Analytics Reader", _RESOURCE, (_PERSON,)),
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": ("AcrPull", _RESOURCE, (_IDENTITY,)),
    "b93aa761-3e63-49ed-ac28-beffa264f7ac": ("Container Registry Repository Reader", _RESOURCE, (_IDENTITY,)),
}
ONE_PURPOSE = f"is not a role for one purpose; assign one of {', '.join(name for name, *_ in ROLES.values())}"
_OTHER = ("another role", f"{_RESOURCE}(/.+)?", (_PERSON, _IDENTITY))


def _role(role: Any) -> str:
    return str(role).rpartition("/")[2].lower()


def _placed(one: Resource) -> Iterator[Finding]:
    role, scope, kind = (at(one.properties, key) for key in ("roleDefinitionId", "scope", "principalType"))
    _, narrowest, kinds = ROLES.get(_role(role), _OTHER)
    wrong = (
        "is not a single secret, vault, container or other resource for which the role is meant; assign the role on a "
        "single one"
    )
    yield from judge(one, UNKNOWN if role is UNKNOWN else scope, matches(narrowest), "scope", wrong)
    # Without principalType, Azure looks up the principal, and may not find a new identity yet
    # (https://learn.microsoft.com/azure/role-based-access-control/troubleshooting).
    wrong = f"is missing or wrong for the role; set {' or '.join(kinds)}"
    yield from judge(one, UNKNOWN if role is UNKNOWN else kind, one_of(*kinds), "principalType", wrong)


def _undeclared(plan: Plan) -> Iterator[Finding]:
    """Yield a finding for each role on a secret whose principal is not a declared reader. A role on the vault requires
    a reader of all secrets.

    In a preview, a new identity's id is unknown: a secret may have at most as many unknown principals as unknown
    readers in the manifest.
    """
    lists: Any = at(plan.outputs, "secretops", "store", "readers") or UNKNOWN
    granted: list[tuple[Resource, Any, Any]] = []
    for one in plan.of_type(ASSIGNMENT):
        role, scope, principal = (at(one.properties, key) for key in ("roleDefinitionId", "scope", "principalId"))
        if role is UNKNOWN or _role(role) in (USER, OFFICER):
            secret = str(scope).partition("/secrets/")[2]
            reads = UNKNOWN if UNKNOWN in (role, scope, lists) else [secret] if secret else [*lists]
            granted.append((one, reads, principal))
    unknown = Counter(secret for _, reads, principal in granted if principal is UNKNOWN for secret in each(reads))
    for one, reads, principal in granted:
        readers = {secret: listed(at(lists, secret)) for secret in listed(reads)}
        if principal is UNKNOWN:
            fits = all(unknown[secret] <= who.count(UNKNOWN) for secret, who in readers.items())
        else:
            fits = all(principal in who for who in readers.values())
        entry = UNKNOWN if reads is UNKNOWN or (fits and principal is UNKNOWN) else bool(readers) and fits
        wrong = (
            "is not a declared reader of every secret that this role can read; assign the role to server, "
            "rotator or operator"
        )
        yield from judge(one, entry, is_true, "principalId", wrong)


def _readers(plan: Plan) -> Iterator[Finding]:
    yield from _undeclared(plan)
    kinds: dict[str, list[Any]] = {}
    for one in plan.of_type(ASSIGNMENT):
        kinds.setdefault(_role(at(one.properties, "roleDefinitionId")), []).append(at(one.properties, "principalType"))
    for role, runs, enough in (USER, (APP, FEDERATION), all), (OFFICER, (JOB,), any), (BLOBS, (JOB,), any):
        if any(plan.of_type(*runs)):
            where = "only to identities" if enough is all else "to the rotator's identity"
            wrong = f"is not assigned {where}; assign the role {where}, with principalType ServicePrincipal"
            are = [kind if kind is UNKNOWN else kind == _IDENTITY for kind in kinds.get(role, [])]
            yield from judge(plan, are, enough, f"the role {ROLES[role][0]}", wrong)


def _public_app(plan: Plan) -> Iterator[Finding]:
    inside = [at(one.properties, "vnetConfiguration", "internal") for one in plan.of_type(ENVIRONMENT)]
    for app in plan.of_type(APP):
        external = at(app.properties, "configuration", "ingress", "external")
        seen = UNKNOWN if external is UNKNOWN else (external and inside)
        wrong = "is true in an environment that the internet can reach; set store.subnet, or ingress: environment"
        yield from judge(app, seen, lambda seen: not seen or all(seen), "configuration.ingress.external", wrong)


def _is_narrow(address: Any) -> bool:
    return isinstance(address, str) and not open_cidr(address)


def _open_network(plan: Plan) -> Iterator[Finding]:
    """Yield a finding if the vault or the lease's storage account accepts all networks, unless the stack's output
    `gaps` says so. Programs of other projects may be open."""
    vaults = [at(one.properties, "properties") for one in plan.of_type(VAULT)]
    actions = [at(one, "networkAcls", "defaultAction") for one in vaults]
    closed = "Deny" in actions or "Disabled" in [at(one, "publicNetworkAccess") for one in vaults]
    declared = plan.project != PROJECT or bool(at(plan.outputs, "gaps", "network"))
    if declared and not closed and UNKNOWN not in actions and not any(plan.of_type(ENDPOINT)):
        return
    wrong = "is not Deny: every network reaches it; set store.network, or declare store.open_to_internet: true"
    for kind, *path in (VAULT, "properties", "networkAcls"), (ACCOUNT, "networkRuleSet"):
        for one in plan.of_type(kind):
            action = at(one.properties, *path, "defaultAction")
            yield from judge(one, action, one_of("Deny"), f"{path[-1]}.defaultAction", wrong)


def _unnamed_endpoint(plan: Plan) -> Iterator[Finding]:
    for endpoint in plan.of_type(ENDPOINT):
        found = with_name(plan, ZONE_GROUP, _NAME, name=at(endpoint.properties, _NAME))
        yield from require(
            endpoint, found, "DNS zone group", "clients don't find the endpoint's address; add a PrivateDnsZoneGroup"
        )


RULES = (
    Rule(
        name="azure-app-not-public",
        sentence="The app answers requests from its environment or its network, never from the internet.",
        controls=controls("CC6.6 1.3.1 1.4.2 164.312(a)(1)", "nobody on the internet reaches the server"),
        limitation="The rule does not check who is in the network that the subnet belongs to.",
        checks=rows(
            ENVIRONMENT,
            (
                "vnetConfiguration",
                lambda net: net is None or at(net, "internal") is True,
                "is public; set internal: true",
            ),
        ),
        across=_public_app,
    ),
    Rule(
        name="azure-network-closed-wholly",
        sentence="Vault and storage account admit named networks and no Azure services, or the stack declares the gap.",
        controls=controls("CC6.6 1.4.1 1.4.2 164.312(a)(1)", "only named networks reach the vault"),
        limitation="The rule does not prove that networks are closed with store.open_to_internet: only roles protect "
        "that vault (output gaps).",
        checks=(
            *rows(
                VAULT,
                ("bypass", one_of("None"), "lets Azure's trusted services pass the firewall; set None"),
                ("ipRules[].value", _is_narrow, "is a network larger than /8; name smaller networks"),
                below="properties.networkAcls.",
            ),
            *rows(
                ACCOUNT,
                ("bypass", one_of("None"), "lets Azure's trusted services pass the firewall; set None"),
                ("ipRules[].iPAddressOrRange", _is_narrow, "is a network larger than /8; name smaller networks"),
                below="networkRuleSet.",
            ),
        ),
        across=_open_network,
    ),
    Rule(
        name="azure-private-endpoints-named",
        sentence="Every private endpoint has a name in a private DNS zone.",
        controls=controls("CC6.6 1.3.2 164.312(e)(1)", "values stay within the network"),
        limitation="The rule does not check whether the zone is linked to the clients' networks: the network's "
        "operator does that.",
        checks=rows(
            ZONE_GROUP,
            ("privateDnsZoneConfigs", is_set, "is empty: no client resolves the endpoint's name; name a zone"),
        ),
        across=_unnamed_endpoint,
        types=(ENDPOINT,),
    ),
    Rule(
        name="azure-roles-narrow",
        sentence="Every role assignment states its reason, and assigns a built-in role with one purpose.",
        controls=controls("CC6.3 7.2.2 7.2.5 164.312(a)(1) 32(1)(b)", "a role has only the rights for its purpose"),
        limitation="The rule does not prove that the rotator's role is minimal: Azure's smallest role that writes "
        "secrets also deletes them.",
        checks=(
            *rows(
                ASSIGNMENT,
                ("roleDefinitionId", lambda role: _role(role) in ROLES, ONE_PURPOSE),
                ("description", is_set, "is missing; write the reason, for reviewers"),
            ),
            *rows(
                DEFINITION,
                ("roleName", lambda _: False, "is a custom role; assign one of Azure's built-in roles"),
            ),
        ),
    ),
    Rule(
        name="azure-roles-scoped",
        sentence="Each role is assigned on one secret, vault or resource; only declared readers get a role on secrets.",
        controls=controls("CC6.3 7.2.1 7.2.5 164.312(a)(1) 32(1)(b)", "each secret has its own readers"),
        later="Entra creates the object ids of server and rotator; until then only the number of readers is judged",
        limitation="The rule does not see roles that others assign on the resource group or the subscription.",
        checks=(Each(ASSIGNMENT, _placed),),
        across=_readers,
    ),
)
