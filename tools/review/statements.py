"""Statements about who may do what, from the policies, roles and bindings of a plan, in a fixed vocabulary.

A term is a resource of the plan, a word defined below, an AWS service, or an action of a fixed syntax. Other text
becomes "something else", so that no statement contains a secret value.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tools.review.review import ACTION, ALL, AZURE_ROLES, ELSE, SERVICE, Conditions, Effect, Statement, name

THIS_ACCOUNT, OTHER_ACCOUNT = "this account", "another account"
PATTERN = "names by a pattern"
# An operator in the stack file, for example, who is no resource of the plan.
OUTSIDE = "a role or user outside this stack"
WORDS = (THIS_ACCOUNT, OTHER_ACCOUNT, OUTSIDE, PATTERN)
# The engine's placeholder for unknown outputs.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

_ARN_COLONS = 5
# Services in ARNs, for which Pulumi's modules have other names.
_MODULES = {"logs": "cloudwatch", "states": "sfn", "events": "cloudwatch"}
# Inputs that contain a resource's name on its platform.
_NAMED_BY = ("name", "bucket", "resourceGroupName", "vaultName", "accountName", "resourceName", "path")
# Secrets Manager's six characters, or question marks for them. `-*` would match other names:
# https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_iam-permissions.html
_SECRET_SUFFIX = re.compile(r"-(\?{6}|[A-Za-z0-9]{6})$")
_PATH = re.compile(r'path\s+"([^"]*)"\s*\{(.*?)\}', re.DOTALL)
_CAPABILITIES = re.compile(r"capabilities\s*=\s*\[([^\]]*)\]")


class Atom(NamedTuple):
    """An action of a principal on a resource. Each of them is a text from the plan, or `=` and a word (see
    `Names.words`)."""

    effect: Effect
    action: str
    principal: str
    resource: str
    exempt: bool
    condition: str


@dataclass(frozen=True, repr=False)
class Names:
    """Maps the names of resources on their platform to their names in the plan."""

    by_module: Mapping[tuple[str, str], str]
    words_known: frozenset[str]
    accounts: frozenset[str]
    regions: frozenset[str]

    @classmethod
    def of(cls, resources: Iterable[tuple[str, str, Mapping[str, Any], str]]) -> Names:
        found: dict[tuple[str, str], str] = {}
        accounts: set[str] = set()
        regions: set[str] = set()
        words = {ALL, THIS_ACCOUNT, *_MANAGED}
        for kind, called, inputs, arn in resources:
            words.add(name(called))
            found["arn", arn] = name(called)
            metadata = inputs.get("metadata")
            texts = [inputs.get(key) for key in _NAMED_BY]
            texts += [metadata.get("name")] if isinstance(metadata, dict) else []
            for text in texts:
                if isinstance(text, str) and text:
                    found.setdefault((_module(kind), text.strip("/")), name(called))
            if kind == "pulumi:providers:aws" and isinstance(inputs.get("region"), str):
                regions.add(inputs["region"])
            accounts.update(re.findall(r"\d{12}", str(inputs.get("allowedAccountIds", ""))))
        return cls(found, frozenset(words), frozenset(accounts), frozenset(regions))

    def own(self, module: str, text: str) -> str:
        """Return the plan's name of the resource that the platform names `text`, or ""."""
        return self.by_module.get((module, text.strip("/")), "")

    def without_region(self, text: str) -> str:
        """Replace each region by REGION, so that statements do not differ only by region."""
        for region in self.regions:
            text = text.replace(region, "REGION")
        return text

    def words(self, term: str) -> str:
        """Return a term in the vocabulary, such as the plan's name for an ARN."""
        if term == ALL or SERVICE.fullmatch(term):
            return term
        # A policy document may contain such text, too.
        known = term[1:] if term.startswith("=") and term[1:] in self.words_known else term and self.own("arn", term)
        if known:
            return known
        if re.fullmatch(r"\d{12}", term):
            return THIS_ACCOUNT if term in self.accounts else OTHER_ACCOUNT
        if term.startswith("arn:") and term.count(":") >= _ARN_COLONS:
            return self._arn(*term.split(":", _ARN_COLONS)[2:])
        if re.search(r"[*?+]", term):
            return PATTERN
        # A path in Vault is named by its mount.
        return self.own("vault", term.partition("/")[0]) or ELSE

    def _arn(self, service: str, _region: str, account: str, resource: str) -> str:
        if account.isdigit() and account not in self.accounts:
            return OTHER_ACCOUNT
        if service == "iam" and resource == "root":
            return THIS_ACCOUNT if account in self.accounts else ELSE
        resource = _SECRET_SUFFIX.sub("", resource) if service == "secretsmanager" else resource
        module = _MODULES.get(service, service)
        parts = [resource, resource.partition(":")[2], resource.partition("/")[2]]
        if service == "s3":
            parts = [resource.partition("/")[0]]
        elif service == "iam":
            parts.append(resource.rpartition("/")[2])
        for text in (*parts, *(one.removesuffix(":*") for one in parts)):
            if text and (called := self.own(module, text)):
                return called
        if re.fullmatch(r"([a-z-]+[:/])?\*", resource):
            return ALL
        if re.search(r"[*?]", resource):
            return PATTERN
        return OUTSIDE if service == "iam" and resource.startswith(("role/", "user/")) else ELSE


def is_unread(inputs: Mapping[str, Any]) -> bool:
    return any(inputs.get(key) == UNKNOWN for key in ("policy", "assumeRolePolicy", "rules", "subjects"))


def compared(
    kind: str, called: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, old: Names, new: Names
) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
    """Return gained and lost statements. `before` is None for a new resource, `after` for a deleted one."""
    # With the plan's names first, so that a move to another region is no change.
    was = {_named(one, old) for one in _atoms(kind, called, before or {}, old)}
    now = {_named(one, new) for one in _atoms(kind, called, after or {}, new)}
    gained, lost = {_in_words(one, new) for one in now - was}, {_in_words(one, old) for one in was - now}
    # Equal words: only the conditions differ.
    both = {one for one in gained & lost if one.condition}
    return tuple(_grouped((gained - both) | {one._replace(condition="changed") for one in both})), tuple(
        _grouped(lost - both)
    )


def _named(one: Atom, names: Names) -> Atom:
    return one._replace(
        principal=_marked(one.principal, names),
        resource=_marked(one.resource, names),
        condition=names.without_region(one.condition),
    )


def _marked(term: str, names: Names) -> str:
    if term.startswith("arn:") and (words := names.words(term)) not in _VAGUE:
        return f"={words}"
    return term if term.startswith("=") else names.without_region(term)


_VAGUE = (ELSE, PATTERN, OUTSIDE, OTHER_ACCOUNT)


def _in_words(one: Atom, names: Names) -> Atom:
    return one._replace(
        action=one.action if ACTION.fullmatch(one.action) or one.action in AZURE_ROLES.values() else ELSE,
        principal=names.words(one.principal),
        resource=names.words(one.resource),
        condition="some" if one.condition else "",
    )


def _grouped(atoms: Iterable[Atom]) -> Iterator[Statement]:
    """Combine atoms that differ in one term: the action, then the resource, then the principal."""
    by_rest: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for one in atoms:
        by_rest[one.effect, one.principal, one.resource, one.exempt, one.condition].add(one.action)
    on: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for (effect, principal, resource, exempt, condition), actions in by_rest.items():
        on[effect, frozenset(actions), principal, exempt, condition].add(resource)
    to: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for (effect, actions, principal, exempt, condition), resources in on.items():
        to[effect, actions, frozenset(resources), exempt, condition].add(principal)
    found = [
        Statement(
            effect=effect,
            actions=tuple(sorted(actions)),
            principals=tuple(sorted(principals)),
            resources=tuple(sorted(resources)),
            exempt=exempt,
            conditions=Conditions(condition),
        )
        for (effect, actions, resources, exempt, condition), principals in to.items()
    ]
    yield from sorted(found, key=lambda one: (one.effect, one.principals, one.actions, one.resources))


def _atoms(kind: str, called: str, inputs: Mapping[str, Any], names: Names) -> Iterator[Atom]:
    own = f"={name(called)}"
    if kind.startswith("aws:"):
        yield from _of_aws(kind, own, inputs, names)
    elif ":rbac.authorization.k8s.io/" in f":{kind.partition(':')[2]}":
        yield from _of_kubernetes(kind, own, inputs, names)
    elif kind == "azure-native:authorization:RoleAssignment":
        guid = str(inputs.get("roleDefinitionId", "")).rpartition("/")[2].lower()
        role = AZURE_ROLES.get(guid, ELSE)
        scope = str(inputs.get("scope", ""))
        at = names.own("azure-native", scope.rpartition("/")[2])
        where = f"={at}" if at else f"={THIS_ACCOUNT}" if re.fullmatch(r"/?subscriptions/[^/]+/?", scope) else scope
        yield Atom(Effect.ALLOW, role, str(inputs.get("principalId", "")), where, False, "")
    elif kind == "vault:index/policy:Policy":
        for path, capabilities in _of_vault(str(inputs.get("policy", ""))):
            for capability in capabilities:
                yield Atom(Effect.ALLOW, f"vault:{capability}", own, _vault_path(path), False, "")


def _of_vault(policy: str) -> Iterator[tuple[str, list[str]]]:
    try:
        paths = json.loads(policy)["path"]
    except (ValueError, KeyError, TypeError):
        for path, body in _PATH.findall(policy):
            yield path, [each for found in _CAPABILITIES.findall(body) for each in re.findall(r'"([a-z]+)"', found)]
        return
    for path, each in paths.items():
        yield path, _texts(each.get("capabilities"))


def _vault_path(path: str) -> str:
    return ALL if path.strip("/") in ("*", "+") else path


def _of_aws(kind: str, own: str, inputs: Mapping[str, Any], names: Names) -> Iterator[Atom]:
    if kind.endswith(":RolePolicyAttachment"):
        policy = str(inputs.get("policyArn", "")).rpartition("/")[2]
        at = names.own("iam", policy)
        to = names.own("iam", str(inputs.get("role", "")))
        resource = f"={at or policy}" if at or policy in _MANAGED else str(inputs.get("policyArn", ""))
        yield Atom(Effect.ALLOW, "policy:Attached", f"={to}" if to else own, resource, False, "")
        return
    if kind.endswith(":Permission") and "action" in inputs:
        function = names.own("lambda", str(inputs.get("function", ""))) or own.removeprefix("=")
        condition = json.dumps([inputs.get("sourceArn"), inputs.get("sourceAccount")]) if "sourceArn" in inputs else ""
        yield Atom(
            Effect.ALLOW, str(inputs["action"]), str(inputs.get("principal", "")), f"={function}", False, condition
        )
        return
    documents = [inputs.get(key) for key in inputs]
    documents += [one.get("policy") for one in inputs.get("inlinePolicies") or () if isinstance(one, dict)]
    role = names.own("iam", str(inputs.get("role", "")))
    for text in documents:
        for each in _read(text):
            yield from _statement(each, own, f"={role}" if role else own)


def _read(text: object) -> list[Mapping[str, Any]]:
    if not isinstance(text, str) or '"Statement"' not in text:
        return []
    try:
        found = json.loads(text)["Statement"]
    except (ValueError, KeyError, TypeError):
        return []
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _statement(one: Mapping[str, Any], own: str, role: str) -> Iterator[Atom]:
    effect = Effect.DENY if one.get("Effect") == "Deny" else Effect.ALLOW
    actions = _texts(one.get("Action")) or ([ELSE] if "NotAction" in one else [])
    resources = _texts(one.get("Resource")) or ([ELSE] if "NotResource" in one else [own])
    principals = _principals(one["Principal"]) if "Principal" in one else [ELSE] if "NotPrincipal" in one else [role]
    if "Principal" in one:
        # In a resource's policy, `*` means that resource.
        resources = [own if text == ALL else text for text in resources]
    rest = json.loads(json.dumps(one.get("Condition") or {}))
    exempt: list[str] = []
    for operator in list(rest):
        keys = rest[operator] if isinstance(rest[operator], dict) else {}
        if operator in ("ArnEquals", "ArnLike", "StringEquals", "StringLike") and effect is Effect.ALLOW:
            principals = _texts(keys.pop("aws:PrincipalArn", None)) or principals
        if operator in ("ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike") and effect is Effect.DENY:
            exempt += _texts(keys.pop("aws:PrincipalArn", None))
        if not keys:
            del rest[operator]
    condition = json.dumps(rest, sort_keys=True) if rest else ""
    # A negation counts as a condition, so that a change of it is reported.
    negated = {key: one[key] for key in ("NotAction", "NotResource", "NotPrincipal") if key in one}
    condition += json.dumps(negated, sort_keys=True) if negated else ""
    for action in actions:
        for resource in resources:
            for principal in principals:
                yield Atom(effect, action, principal, resource, False, condition)
            for principal in exempt:
                yield Atom(effect, action, principal, resource, True, condition)


def _principals(entry: object) -> list[str]:
    if isinstance(entry, dict):
        return [text for inner in entry.values() for text in _texts(inner)]
    return _texts(entry)


def _texts(entry: object) -> list[str]:
    found = entry if isinstance(entry, list) else [entry]
    return [one for one in found if isinstance(one, str)]


def _of_kubernetes(kind: str, own: str, inputs: Mapping[str, Any], names: Names) -> Iterator[Atom]:
    def called(of: object, text: object) -> str:
        found = names.own(f"kubernetes:{str(of).lower()}", str(text))
        return f"={found}" if found else str(text)

    if kind.endswith("Binding"):
        ref = inputs.get("roleRef") or {}
        for subject in inputs.get("subjects") or ():
            principal = called(subject.get("kind"), subject.get("name"))
            yield Atom(Effect.ALLOW, "role:Bound", principal, called(ref.get("kind"), ref.get("name")), False, "")
        return
    for rule in inputs.get("rules") or ():
        for resource in _texts(rule.get("resources")):
            for verb in _texts(rule.get("verbs")):
                for each in _texts(rule.get("resourceNames")) or [ALL]:
                    at = called(resource.partition("/")[0].removesuffix("s"), each)
                    yield Atom(Effect.ALLOW, f"{resource}:{verb}", own, at, False, "")


def _module(kind: str) -> str:
    """Return `sqs` for `aws:sqs/queue:Queue`, a Kubernetes object's kind, or else the package."""
    package, _, rest = kind.partition(":")
    if package == "kubernetes":
        return f"kubernetes:{rest.rpartition(':')[2].lower()}"
    return rest.partition("/")[0] if package == "aws" else package


# AWS managed policies that grant broad access. Any other becomes "something else".
_MANAGED = ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess", "ReadOnlyAccess", "SecretsManagerReadWrite")
