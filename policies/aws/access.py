"""Rules on access in AWS: accounts, roles, keys, policies of secrets and other resources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from policies import aws
from policies.aws.documents import (
    Statement,
    every,
    narrow,
    needs,
    policy_check,
    secret_name,
    statements,
    wildcard,
    without,
)
from policies.controls import controls
from policies.matchers import at, contains, forbidden, is_true, judge, known, matches, not_set, one_of
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Each, Expect, Rule

PROVIDER, ROLE_POLICY = "pulumi:providers:aws", "aws:iam/rolePolicy:RolePolicy"
BUCKET_POLICY, QUEUE_POLICY = "aws:s3/bucketPolicy:BucketPolicy", "aws:sqs/queuePolicy:QueuePolicy"
PERMISSION, URL = "aws:lambda/permission:Permission", "aws:lambda/functionUrl:FunctionUrl"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
# Types that grant rights in other ways than by a role's own policy: by policies outside of the plan, or to people.
OTHER_GRANTS = (
    *("aws:iam/policy:*", "aws:iam/policyAttachment:*", "aws:iam/rolePolicyAttachment*", "aws:iam/*Exclusive:*"),
    *("aws:iam/userPolicy*", "aws:iam/groupPolicy*", "aws:kms/grant:*", "aws:kms/keyPolicy:*"),
    *("aws:cloudformation/*", "aws:cloudcontrol/*"),
)
# Types with a policy that may allow other accounts.
LEASE_POLICY = "aws:dynamodb/resourcePolicy:ResourcePolicy"
RESOURCE_POLICIES = (aws.SECRET_POLICY, aws.KEY, BUCKET_POLICY, aws.TOPIC_POLICY, QUEUE_POLICY, LEASE_POLICY)
# Types that also accept an inline policy.
INLINE = (aws.SECRET, aws.TOPIC, aws.QUEUE, aws.BUCKET)
# Protocols of SNS, except those that send alerts in plain text.
ENCRYPTED_BY = ("email", "email-json", "https", "sqs", "lambda", "firehose")
# Type -> the action that its policy must deny without TLS. For a topic, only publishing has content.
PLAIN_TEXT = {
    **{aws.SECRET_POLICY: "secretsmanager:*", BUCKET_POLICY: "s3:*"},
    **{aws.TOPIC_POLICY: "sns:publish", QUEUE_POLICY: "sqs:*"},
}


def _by_provider(one: Resource) -> Iterator[Finding]:
    if not one.provider:
        yield Finding(
            one.urn,
            "uses the default provider, which accepts any credentials of the machine; pass the stack's provider",
        )


# Actions for which AWS only accepts the resource `*`, or that Lambda needs before the resource exists.
EVERYWHERE = {
    *("ec2:createnetworkinterface", "ec2:deletenetworkinterface", "ec2:describenetworkinterfaces"),
    *("ec2:describesubnets", "ec2:assignprivateipaddresses", "ec2:unassignprivateipaddresses"),
    "ecr:getauthorizationtoken",
}
# Prefixes of actions that grant rights, or assume another role.
ESCALATIONS = (
    *("iam:", "sts:assume", "kms:creategrant", "kms:putkeypolicy"),
    *("secretsmanager:putresourcepolicy", "secretsmanager:deleteresourcepolicy", "lambda:addpermission"),
)
# The six random characters at the end of a secret's ARN, as a pattern.
SUFFIX = "-??????"
# An action that returns several secrets by a filter, so it counts as a list action.
BATCH = "secretsmanager:batchgetsecretvalue"


# Part of an ARN -> the wildcard that is allowed at the ARN's end, for a log's streams, a secret's random characters or
# a key's id. The rule aws-keys-open-named-secrets limits the use of keys to named secrets.
ENDINGS = {":log-group:": ":*", ":secretsmanager:": SUFFIX, ":kms:": "key/*"}


def _named(resource: str) -> bool:
    ending = next((ending for part, ending in ENDINGS.items() if part in resource), "")
    return not wildcard(resource.removesuffix(ending))


def _excess(found: Sequence[Statement]) -> Iterator[str]:
    for one in found:
        if not one.allows:
            continue
        if one.negated:
            yield "has NotAction or NotResource, and so allows all others; use Action and Resource"
        for action in one.actions:
            if wildcard(action):
                yield f"allows {action}, which is a pattern; name each action"
            if action.startswith(ESCALATIONS):
                yield f"allows {action}, with which a role can extend its rights; remove this action"
            if action.partition(":")[2].startswith("list") or action == BATCH:
                yield (
                    f"allows {action}, which lists or reads several resources at once; remove this action, and name "
                    "the ARN of each resource that the role reads"
                )
        for resource in one.resources:
            if resource == "*" and not EVERYWHERE.issuperset(one.actions):
                yield f"allows {', '.join(one.actions)} on all resources; name the ARN"
            elif resource != "*" and not _named(resource):
                yield f"allows {', '.join(one.actions)} on a pattern of ARNs; name the ARN"


CLOUDTRAIL = "cloudtrail.amazonaws.com"
# Services whose trust policy can't have aws:SourceAccount and aws:SourceArn. CloudTrail assumes a role for CloudWatch
# Logs:
# https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-required-policy-for-cloudwatch-logs.html
UNBOUND = {"lambda.amazonaws.com", CLOUDTRAIL}


def _trust(found: Sequence[Statement]) -> Iterator[str]:
    for one in (statement for statement in found if statement.allows):
        services = set(one.principals.get("Service", ()))
        if one.is_for_everybody or not one.principals or one.principals.keys() - {"Service", "Federated"}:
            yield "trusts more than a service; name one service, or a cluster's OIDC provider, as the principal"
        by_source = one.compared("ArnLike", "aws:SourceArn") or one.compared("ArnEquals", "aws:SourceArn")
        bound = one.compared("StringEquals", "aws:SourceAccount") and by_source and all(map(narrow, by_source))
        if services - UNBOUND and not bound:
            yield "trusts a service for any account; add conditions on aws:SourceAccount and aws:SourceArn"
        if CLOUDTRAIL in services and one.conditions:
            yield "has a condition, which CloudTrail does not support: no trail could be created; remove the condition"
        for provider in one.principals.get("Federated", ()):
            issuer = provider.partition(":oidc-provider/")[2]
            claims = {name: one.compared("StringEquals", f"{issuer}:{name}") for name in ("sub", "aud")}
            for name in sorted(name for name, wanted in claims.items() if len(wanted) != 1 or wildcard(wanted[0])):
                yield f"trusts any token of the OIDC provider; add the condition StringEquals for one {name}"


# Prefixes of actions that encrypt or decrypt.
USES = ("kms:decrypt", "kms:encrypt", "kms:generatedatakey", "kms:reencrypt")
# Prefixes of condition keys that limit a service to one purpose.
PURPOSES = ("kms:encryptioncontext:", "kms:viaservice", "aws:sourcearn")


def _via_secrets_manager(one: Statement) -> bool:
    through = one.compared("StringEquals", "kms:ViaService")
    return bool(through) and all(service.startswith("secretsmanager.") for service in through)


def _bound(one: Statement) -> bool:
    """Return whether a statement limits use of a key to Secrets Manager, to an AWS service's resource, or to one
    purpose of a service.

    An encryption context alone is not enough, because the caller of KMS chooses it.
    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    """
    if set(one.principals) == {"Service"}:
        return one.is_bound_by(*PURPOSES)
    return _via_secrets_manager(one) or one.is_bound_by("kms:encryptioncontext:aws:")


def _key_policy(found: Sequence[Statement]) -> Iterator[str]:
    for one in found:
        if not one.allows:
            continue
        if one.negated or any(wildcard(action) or action == "kms:creategrant" for action in one.actions):
            yield "allows a principal to grant others the use of the key; name each action, without kms:CreateGrant"
        if any(action.startswith(USES) for action in one.actions) and not _bound(one):
            yield "allows use of the key for any purpose; add the condition kms:ViaService with Secrets Manager"


def _key_use(found: Sequence[Statement]) -> Iterator[str]:
    for one in found:
        if not one.allows or not any(action.startswith(("kms:", "*")) for action in one.actions):
            continue
        if not _via_secrets_manager(one):
            yield "allows direct use of a KMS key; add the condition kms:ViaService with Secrets Manager"
        secrets = one.compared("StringLike", "kms:EncryptionContext:SecretARN")
        if not secrets or any(wildcard(secret.removesuffix(SUFFIX)) for secret in secrets):
            yield (
                "allows use of a KMS key for any secret; name the secrets in the condition "
                "kms:EncryptionContext:SecretARN"
            )


# Prefixes of condition keys that limit for whom a service acts. An encryption context names one resource.
ORIGINS = ("aws:sourcearn", "aws:sourceaccount", "kms:encryptioncontext:")


def _public(found: Sequence[Statement]) -> Iterator[str]:
    principals = [who for one in found if one.allows for who in one.principals.get("AWS", ())]
    if len({re.sub(r"arn:.*::(\d*):.*", r"\1", who) for who in principals if who != "*"}) > 1:
        yield "allows principals of several accounts; name only principals of the stack's account"
    for one in (statement for statement in found if statement.allows):
        if one.is_for_everybody or not one.principals:
            yield "allows everybody; name a service or an account as the principal"
        elif "Service" in one.principals and not one.is_bound_by(*ORIGINS):
            yield "allows a service for any account; add a condition on aws:SourceArn or aws:SourceAccount"


def _account(source: str) -> str | None:
    found = re.fullmatch(r"(?:arn(?::[^:]*){3}:)?(\d{12})(?::.*)?", source)
    return found[1] if found else None


def _sources(one: Statement) -> Iterator[str]:
    for names in one.conditions.values():
        for name in ("aws:sourceaccount", "aws:sourcearn"):
            yield from names.get(name, ())


def _foreign(plan: Plan) -> Iterator[Finding]:
    account = at(plan.manifest, "store", "account") or None
    own = re.compile(rf"{account}|arn:aws[a-z-]*:iam::{account}:.*")
    for policy in plan.of_type(*RESOURCE_POLICIES):
        if account is None:
            yield Finding(policy.urn, "the stack's account is known after pulumi up", unknown=True)
            continue
        for one in statements(at(policy.properties, "policy")) or ():
            others = [who for kind, who in one.principals.items() if kind not in ("Service", "*")]
            if one.allows and not all(own.fullmatch(name) for who in others for name in who):
                wrong = "policy allows a principal of another account; name principals of the stack's account"
                yield Finding(policy.urn, wrong)
            if one.allows and {_account(source) for source in _sources(one)} - {None, account}:
                wrong = (
                    "policy allows a service for another account; set the condition aws:SourceAccount to the stack's "
                    "account"
                )
                yield Finding(policy.urn, wrong)


def _foreign_callers(plan: Plan) -> Iterator[Finding]:
    account = at(plan.manifest, "store", "account") or UNKNOWN
    for one in plan.of_type(PERMISSION):
        pair = (at(one.properties, "sourceAccount"), account)
        yield from judge(
            one,
            pair,
            lambda pair: pair[0] == pair[1],
            "sourceAccount",
            "is not the stack's account; set the stack's account",
        )


def _plain_text(action: str, found: Sequence[Statement]) -> Iterator[str]:
    denied = any(
        not (one.allows or one.negated)
        and action in one.actions
        and one.is_for_everybody
        and one.conditions == {"Bool": {"aws:securetransport": ("false",)}}
        and (action != "s3:*" or any(resource.endswith("/*") for resource in one.resources))
        for one in found
    )
    if not denied:
        on = " on the bucket and its objects (/*)" if action == "s3:*" else ""
        yield f"allows calls in plain text; deny {action}{on} to everybody where aws:SecureTransport is false"


READ = "GetSecretValue"
GUARDED = (READ, "PutSecretValue", "UpdateSecretVersionStage", "UpdateSecret")
PRINCIPAL, SERVICE = "aws:PrincipalArn", "aws:PrincipalIsAWSService"
# The only conditions that a deny statement may have. With any other, it might not deny every request.
ALLOWED_CONDITIONS = {("ArnNotEquals", PRINCIPAL.lower()), ("Bool", SERVICE.lower())}


def _denies(statement: Statement, action: str) -> bool:
    """Return whether `statement` denies `action` to everybody except fully named principals."""
    named = statement.compared("ArnNotEquals", PRINCIPAL)
    depends = {(operator, name) for operator, names in statement.conditions.items() for name in names}
    return (
        not (statement.allows or statement.negated)
        and statement.is_of(f"secretsmanager:{action}")
        and statement.is_for_everybody
        and statement.resources == ("*",)
        and bool(named)
        and not any(map(wildcard, named))
        and statement.compared("Bool", SERVICE) in ((), ("false",))
        and depends <= ALLOWED_CONDITIONS
    )


def _gaps(found: Sequence[Statement]) -> Iterator[str]:
    for action in GUARDED:
        if not any(_denies(one, action) for one in found):
            yield (
                f"does not deny {action} on * to all except named principals; add a Deny with only the condition "
                f"ArnNotEquals {PRINCIPAL}"
            )


def _unguarded(plan: Plan) -> Iterator[Finding]:
    names = {at(secret.properties, "name"): secret for secret in plan.of_type(aws.SECRET)}
    for name in without(plan, aws.SECRET_POLICY, "secretArn", names):
        wrong = "the secret has no policy: any principal of the account could get access; add a SecretPolicy"
        yield Finding(names[name].urn, wrong)


def _undeclared(plan: Plan) -> Iterator[Finding]:
    """Yield a finding for each reader that is missing in the manifest, and for each that is neither a role of the stack
    nor excluded from the alarm on undeclared reads.

    While a secret's ARN is unknown, the declared readers of all secrets are accepted.
    """
    roles = {at(role.properties, "name") for role in plan.of_type(aws.ROLE)}
    patterns = [at(one.properties, "pattern") for one in plan.of_type(aws.FILTER)]
    excepted = [pattern for pattern in patterns if contains(pattern, "userIdentity.arn !=")]
    readers = at(plan.manifest, "store", "readers")
    for policy in plan.of_type(aws.SECRET_POLICY):
        found, name = statements(at(policy.properties, "policy")), secret_name(at(policy.properties, "secretArn"))
        if found is None or not isinstance(readers, Mapping) or not known(readers):
            yield Finding(policy.urn, "whether its readers are declared is known after pulumi up", unknown=True)
            continue
        declared = {reader for secret, who in readers.items() if name in (None, secret) for reader in who}
        for reader in {who for one in found if _denies(one, READ) for who in one.compared("ArnNotEquals", PRINCIPAL)}:
            role = reader.rpartition("/")[2]
            sessions = f"assumed-role/{role}/*" if ":role/" in reader else reader
            lets = f"policy allows {reader} to read"
            if reader not in declared:
                yield Finding(
                    policy.urn, f"{lets}, but the manifest does not declare this reader; remove it from the policy"
                )
            elif not (role in roles or any(f'{sessions}"' in one for one in excepted)):
                wrong = (
                    f"{lets}, which is not a role of the stack, and no alarm filter excepts it; declare this reader "
                    "in store.operators or server.reader"
                )
                yield Finding(policy.urn, wrong, unknown=UNKNOWN in roles or not excepted)


UNREAD = "grants rights that no rule checks; use a RolePolicy, or the KMS key's own policy"
RULES = (
    Rule(
        name="aws-account-named",
        sentence="The stack's own provider creates all AWS resources, in the one account that the stack file names.",
        controls=controls("CC6.1 CC8.1 6.5.3 32(1)(b)", "a change reaches the approved account only"),
        limitation="The rule does not check whether another environment's file names the same account: compare the "
        "files.",
        checks=(
            Expect(
                PROVIDER,
                "allowedAccountIds",
                matches(r'\["\d{12}"\]'),
                "is not exactly one account; set allowed_account_ids to the stack's account",
            ),
            Each("aws:*", _by_provider),
        ),
    ),
    Rule(
        name="aws-functions-called-by-named",
        sentence="Only AWS services may call a function, each on behalf of one resource in the stack's account.",
        controls=controls("CC6.1 CC6.6 7.2.5 164.312(d)", "callers are identified and authorized"),
        limitation="Principals of the account may call a function if their own policies allow it.",
        checks=(
            Expect(PERMISSION, "principal", matches(r".+\.amazonaws\.com"), "is not an AWS service; name a service"),
            *(
                Expect(PERMISSION, what, narrow, "is missing or a wildcard; set the ARN or account of the caller")
                for what in ("sourceArn", "sourceAccount")
            ),
            Each(
                URL,
                forbidden(
                    "gives a function an address on the internet; remove the function URL: AWS services do not use it"
                ),
            ),
        ),
        across=_foreign_callers,
        types=(aws.FUNCTION,),
    ),
    Rule(
        name="aws-key-policies-bound",
        sentence="A KMS key's policy separates administrators from users, and limits each use to one purpose.",
        controls=controls("CC6.1 CC6.3 8.3.2 164.312(a)(2)(iv)", "administrators of a key are not its users"),
        limitation="The rule does not check whether a key's administrator changes the policy later: "
        "aws-tampering-alerted requires an alarm.",
        checks=(policy_check(aws.KEY, _key_policy),),
    ),
    Rule(
        name="aws-keys-open-named-secrets",
        sentence="A role uses a KMS key only through Secrets Manager, and only for named secrets.",
        controls=controls("CC6.1 7.2.5 8.3.2 164.312(a)(2)(iv)", "a key decrypts only what its user may read"),
        limitation="The rule does not check the key's own policy: aws-key-policies-bound does.",
        checks=(policy_check(ROLE_POLICY, _key_use),),
    ),
    Rule(
        name="aws-least-privilege",
        sentence="A role's own policy names each right: no wildcard in an action or ARN, and no List action. "
        "No other policy grants it rights.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "a program has only the rights that it needs"),
        limitation="The rule does not check whether a named action is needed: tests/unit/golden/aws-roles.txt gives "
        "the purpose of each.",
        checks=(
            policy_check(ROLE_POLICY, _excess),
            *(Expect(aws.ROLE, what, not_set, UNREAD) for what in ("managedPolicyArns", "inlinePolicies")),
            Each(OTHER_GRANTS, forbidden(UNREAD)),
        ),
    ),
    Rule(
        name="aws-plain-text-denied",
        sentence="Secrets, the trail's bucket, the topic and queues refuse requests without TLS; alerts are encrypted.",
        controls=controls(
            "CC6.7 8.3.2 164.312(e)(1) 164.312(e)(2)(i) 164.312(e)(2)(ii) 32(1)(a)",
            "values and alerts are encrypted in transit",
        ),
        limitation="The rule does not check which version of TLS a caller uses: AWS accepts 1.2 and later.",
        checks=(
            *(policy_check(kind, partial(_plain_text, action)) for kind, action in PLAIN_TEXT.items()),
            Expect(SUBSCRIPTION, "protocol", one_of(*ENCRYPTED_BY), "sends alerts in plain text; use https or email"),
        ),
        across=needs(
            BUCKET_POLICY,
            "policy",
            "requests may be in plain text; add a policy that denies plain text",
            of=aws.BUCKET,
            by="bucket",
        ),
        types=(aws.BUCKET,),
    ),
    Rule(
        name="aws-policies-not-public",
        sentence="No policy of a resource gives access to another account, or to a service that acts for another "
        "account.",
        controls=controls("CC6.6 7.3.3 164.312(a)(1)", "access from other accounts is denied"),
        limitation="The rule does not check which principals of the account a policy names; "
        "aws-secret-readers-declared judges secrets.",
        checks=(
            policy_check(RESOURCE_POLICIES, _public),
            Expect(
                aws.SECRET_POLICY,
                "blockPublicPolicy",
                is_true,
                "is not true: AWS would accept a public policy; set true",
            ),
            Expect(INLINE, "policy", not_set, "is inline, where no rule checks it; use a separate policy resource"),
        ),
        across=_foreign,
    ),
    Rule(
        name="aws-roles-taken-by-named",
        sentence="Each role trusts one AWS service, for the stack's account only, or one service account of a cluster.",
        controls=controls("CC6.1 7.2.5 8.6.1 164.312(d)", "an application account is used only by its program"),
        limitation="The rule does not check who may pass a role to Lambda or CloudTrail, whose trust has no "
        "condition: iam:PassRole decides.",
        checks=(policy_check(aws.ROLE, _trust, "assumeRolePolicy"),),
    ),
    Rule(
        name="aws-secret-readers-declared",
        sentence="Each principal that may read a secret is in the manifest, and is a role of the stack or an operator.",
        controls=controls("CC6.3 7.2.1 164.312(a)(1)", "a review shows who may read each secret"),
        limitation="The rule does not check whether an operator in the stack file should be one: a reviewer of that "
        "file decides.",
        across=_undeclared,
        types=(aws.SECRET_POLICY,),
    ),
    Rule(
        name="aws-secrets-deny-others",
        sentence="Every secret has a policy that denies reads and writes to all principals that it does not name in "
        "full.",
        controls=controls("CC6.1 CC6.3 7.2.1 7.3.3 164.312(a)(1) 32(1)(b)", "access without a grant is denied"),
        limitation="The rule does not check whether the named principals should have access: "
        "aws-secret-readers-declared judges that.",
        checks=(policy_check(aws.SECRET_POLICY, _gaps),),
        across=every(
            needs(aws.SECRET, "secret", "no policy protects values; add a Secret with a SecretPolicy"), _unguarded
        ),
        types=(aws.STORE, aws.SECRET),
    ),
)
