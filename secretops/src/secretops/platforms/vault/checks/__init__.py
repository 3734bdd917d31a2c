from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from secretops.check import (
    UNDECLARED_RULE,
    Check,
    Repair,
    Result,
    attention,
    clock_skew,
    expired_lease,
    judge,
    ok,
    poll,
    reached,
    table,
    undeclared_secrets,
    unknown,
)
from secretops.formats import counted
from secretops.platforms.vault.checks.policy import Rule
from secretops.platforms.vault.checks.server import Role, VaultServer
from secretops.platforms.vault.errors import DeniedError
from secretops.platforms.vault.store import LeaseDocument

# A path needs room for the next version, the current and the previous one.
MIN_VERSIONS = 3
# A certificate must be valid for this long, or for this share of its life if that is shorter.
CERTIFICATE_LEFT = timedelta(days=14)
CERTIFICATE_SHARE = 1 / 10
TOKEN_LEFT = timedelta(minutes=10)
SECRET_IDS_LEFT = timedelta(days=7)
MIN_DEVICES = 2
# How long a stolen token may be valid.
MAX_TOKEN_TTL = timedelta(hours=24)
READ = frozenset({"read"})
WRITE = frozenset({"create", "update", "read"})
METADATA = WRITE | {"patch"}
REMOVE = METADATA | {"delete"}
UPDATE = frozenset({"update"})
# Path -> capabilities on it.
Rights = Mapping[str, frozenset[str]]
DECLARED = "only declared readers may read the stack's secrets"


def vault_checks(server: VaultServer, tick: Repair | None = None) -> list[Check]:
    return table(
        server,
        {
            "server": lambda it: reached(it.reach, lambda: _release(it)),
            "TLS": certificate,
            "clock": lambda it: clock_skew(it.status["skew"] and -it.status["skew"], "the server", both=True),
            "your token": own_token,
            "mount": mount,
            "versions kept": versions_kept,
            "audit": audit,
            "roles": roles,
            "secret ids": secret_ids,
            "readers' rights": readers_rights,
            "rotator's rights": rotators_rights,
            "others' rights": others_rights,
            "lease": partial(lease, tick=tick),
            "unknown paths": unknown_paths,
        },
    )


def _release(server: VaultServer) -> str:
    name, version = server.status.get("cluster_name"), server.status.get("version", "unknown")
    return f"{server.location.address}, version {version}{f', cluster {name}' if name else ''}"


def certificate(server: VaultServer) -> Result:
    begins, ends = server.certificate()
    is_short = ends - datetime.now(UTC) < min(CERTIFICATE_LEFT, (ends - begins) * CERTIFICATE_SHARE)
    return judge(
        [f"the server's certificate expires {ends:%Y-%m-%d %H:%M} UTC"] if is_short else [],
        "the server's certificate must be renewed in time: once the certificate has expired, nobody can read or "
        "rotate secrets",
        "renew the certificate, then make the server load it (SIGHUP)",
        f"the server's certificate is valid until {ends:%Y-%m-%d}",
    )


def own_token(server: VaultServer) -> Result:
    found = server.token()
    if "root" in found["policies"]:
        return attention(
            "this token is a root token",
            "the token must not have policy root, which allows everything and is only for the setup of a server",
            "bao token revoke -self; then log in with the stack's policy for operators: bao login",
        )
    ttl = timedelta(seconds=float(found.get("ttl") or 0))
    ends = f"for {ttl}" if ttl else "without expiry"
    return judge(
        [f"this token expires in {round(ttl.total_seconds())} s"] if ttl and ttl < TOKEN_LEFT else [],
        "a token must outlast a command: otherwise the next tick has to finish the command's rotation",
        "bao token renew, or bao login",
        f"{found.get('display_name') or 'a token'} ({', '.join(found['policies'])}), {ends}",
    )


def mount(server: VaultServer) -> Result:
    name, found, namespace = server.location.mount, server.mount(), server.location.namespace
    if not found:
        return attention(
            f"mount {name} does not exist {f'in namespace {namespace}' if namespace else 'on the server'}",
            "the store's KV engine must be mounted; an unmount deletes every value in the engine",
            "pulumi up, which mounts an empty engine; the server's audit log shows who unmounted the former engine",
        )
    version = str((found.get("options") or {}).get("version") or "1")
    is_kv2 = found.get("type") in ("kv", "generic") and version == "2"
    return judge(
        [] if is_kv2 else [f"mount {name} is {found.get('type')} of version {version}"],
        "the mount must be a KV engine of version 2: only this has versions and check-and-set",
        f"bao secrets move {name} {name}-former; then pulumi up, which mounts a new engine; copy the content by hand",
        f"{name}, KV of version 2",
    )


def versions_kept(server: VaultServer) -> Result:
    name = server.location.mount
    found = {name: server.read(f"{name}/config")}
    found |= {path: server.read(f"{name}/metadata/{path}") for path in server.paths}
    most = int(found[name].get("max_versions") or 0)
    return judge(
        (f"{where} {why}" for where, each in found.items() for why in _limits(each)),
        f"a path must keep at least {MIN_VERSIONS} versions (next, current, previous); only secretops may delete a "
        "version",
        "pulumi up sets the mount; for a path: bao kv metadata put -max-versions=0 -delete-version-after=0s "
        f"-mount={name} PATH",
        f"{most or 'ten'} versions of each path, until secretops deletes them",
    )


def _limits(config: Mapping[str, Any]) -> Iterator[str]:
    most, after = int(config.get("max_versions") or 0), str(config.get("delete_version_after") or "0s")
    if 0 < most < MIN_VERSIONS:
        yield f"keeps only {counted(most, 'version', 'versions')}"
    if after.strip("0hms"):
        yield f"deletes each version after {after}"


_DECLARE = (
    "declare the devices in the server's configuration, without log_raw (pulumi stack output trail shows how), then "
    "SIGHUP; "
)


def audit(server: VaultServer) -> Result:
    plain, namespace = [*_plain_keys(server)], server.location.namespace
    if namespace and not plain:
        return unknown(
            f"no audit device is visible in namespace {namespace}",
            "only Vault's root namespace shows audit devices",
            "have the Vault administrator run, without VAULT_NAMESPACE: bao audit list -detailed",
        )
    devices = {} if namespace else server.read("sys/audit")
    return judge(
        plain if namespace else [*_device_gaps(devices), *plain],
        f"{MIN_DEVICES} audit devices or more must log each read, with an HMAC in place of a value; if the only "
        "device fails, the server rejects all requests",
        ("" if namespace else _DECLARE) + "for HMACs in the mount: bao secrets tune -audit-non-hmac-request-keys='' "
        f"-audit-non-hmac-response-keys='' {server.location.mount}",
        ", ".join(f"{name.strip('/')} ({device.get('type')})" for name, device in sorted(devices.items())),
    )


def _device_gaps(devices: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if len(devices) < MIN_DEVICES:
        yield f"the server has {f'one audit device, {next(iter(devices))}' if devices else 'no audit device'}"
    for name, device in devices.items():
        if str((device.get("options") or {}).get("log_raw", "")).lower() == "true":
            yield f"device {name.strip('/')} logs values in plain text (log_raw)"


def _plain_keys(server: VaultServer) -> Iterator[str]:
    tuned = server.mount().get("config") or {}
    for key in ("audit_non_hmac_response_keys", "audit_non_hmac_request_keys"):
        if plain := tuned.get(key):
            yield f"the mount logs {', '.join(plain)} in plain text ({key})"


def roles(server: VaultServer) -> Result:
    if missing := [entry for entry, role in server.roles.items() if role is None]:
        return attention(
            f"role {', '.join(missing)} does not exist",
            "a declared program must log in by a role of an auth method",
            "pulumi up, which creates the roles; if it has run, check the auth method: bao auth list",
        )
    return judge(
        (f"{role.entry}: {why}" for role in server.roles.values() if role for why in _role_faults(role)),
        "a role must have a policy, a token_ttl or token_period of at most 24 hours, and no limit of uses",
        "pulumi up, which sets the stack's roles",
        ", ".join(server.roles) or "none is declared",
    )


def _role_faults(role: Role) -> Iterator[str]:
    fields = role.fields
    ttl = timedelta(seconds=float(fields.get("token_ttl") or 0) or float(fields.get("token_period") or 0))
    if not ttl or ttl > MAX_TOKEN_TTL:
        default = "the server's default, 32 days unless changed"
        yield f"tokens of the role live for {ttl or default}"
    if uses := int(fields.get("token_num_uses") or 0):
        yield f"tokens of the role are valid for only {counted(uses, 'request', 'requests')}"
    if uses := int(fields.get("secret_id_num_uses") or 0):
        yield f"secret ids of the role are valid for only {uses} logins"
    if not role.policies:
        yield "the role has no policy"


def secret_ids(server: VaultServer) -> Result:
    healthy, wrong = [], dict[str, str]()
    for role in server.roles.values():
        if not role or not role.fields.get("bind_secret_id"):  # a field of AppRole only
            continue
        ends = server.secret_ids(role)
        last = None if not ends or None in ends else max(end for end in ends if end)
        if not ends:
            wrong[role.path] = f"{role.entry} has no secret id, so it cannot log in"
        elif last and last - datetime.now(UTC) < SECRET_IDS_LEFT:
            wrong[role.path] = f"the last secret id of {role.entry} expires {last:%Y-%m-%d %H:%M} UTC"
        healthy.append(f"{role.entry}: {len(ends)}, until {f'{last:%Y-%m-%d}' if last else 'revoked'}")
    new = "bao write -f -field=secret_id {}/secret-id > FILE.new && mv FILE.new FILE"
    commands = "; ".join(new.format(path) for path in wrong)
    return judge(
        wrong.values(),
        f"a program that logs in by AppRole must have a secret id that is valid for {SECRET_IDS_LEFT.days} days or "
        "more",
        f"umask 077; {commands} (for a wrapped login: -wrap-ttl=10m -field=wrapping_token in place of "
        "-field=secret_id)",
        "; ".join(healthy) or "no role needs one",
    )


def readers_rights(server: VaultServer) -> Result:
    name, compared = server.location.mount, []
    for entry, role in server.roles.items():
        if role and entry != server.rotator:
            paths = [path for path, who in server.location.readers.items() if entry in who]
            values = {f"{name}/data/{path}": READ for path in paths}
            compared.append((role, values, values | {f"{name}/metadata/{path}": READ for path in paths}))
    return _compare(server, compared)


def rotators_rights(server: VaultServer) -> Result:
    role, place = server.roles.get(server.rotator), server.location
    if role is None:
        return attention(
            "the rotator has no role", "the rotator must log in by a role", "pulumi up, which creates the role"
        )
    data, metadata = f"{place.mount}/data", f"{place.mount}/metadata"
    rights = {f"{data}/{place.lease}": WRITE, f"{metadata}/{place.lease}": METADATA}
    for path in place.secrets.values():
        rights |= {f"{data}/{path}": WRITE, f"{metadata}/{path}": METADATA, f"{place.mount}/destroy/{path}": UPDATE}
    for path in place.pending.values():
        rights |= {f"{data}/{path}": WRITE, f"{metadata}/{path}": REMOVE}
    rights |= dict.fromkeys(server.signs, UPDATE)
    return _compare(server, [(role, rights, rights)])


def _compare(server: VaultServer, declared: Sequence[tuple[Role, Rights, Rights]]) -> Result:
    wrong = []
    for role, needed, allowed in declared:
        policies = {name: server.policy(name) for name in role.policies}
        granted = [(name, rule) for name, found in policies.items() for rule in found or ()]
        if lost := [name for name, found in policies.items() if found is None]:
            wrong.append(f"{role.entry} has policy {', '.join(lost)}, which does not exist")
        wrong += [f"{role.entry} may {more}" for more in _excess(granted, allowed, server.location.mount)]
        wrong += [f"{role.entry} may not {less}" for less in _missing([rule for _, rule in granted], needed)]
    return judge(
        wrong,
        "a program's policy must name each path, and grant only what the program needs",
        "pulumi up, which writes the stack's policies again; the server's audit log shows who changed a policy",
        "; ".join(
            f"{role.entry}: {counted(len(allowed), 'path', 'paths')} and no others" for role, _, allowed in declared
        ),
    )


def _excess(granted: Iterable[tuple[str, Rule]], allowed: Rights, mount: str) -> Iterator[str]:
    for name, rule in granted:
        more = rule.may - allowed.get(rule.path, frozenset())
        if more and rule.touches(mount):
            yield f"{'/'.join(sorted(more))} {rule.path} by policy {name}"


def _missing(granted: Sequence[Rule], needed: Rights) -> Iterator[str]:
    for path, rights in needed.items():
        if less := rights - frozenset[str]().union(*(rule.may for rule in granted if rule.covers(path))):
            yield f"{'/'.join(sorted(less))} {path}"


def others_rights(server: VaultServer) -> Result:
    name = server.location.mount
    # Skip the policies of the caller and of declared roles, and the policy root, which has no text.
    try:
        own = {*server.token()["policies"]} - {"default"}
        own |= {"root", *(each for role in server.roles.values() if role for each in role.policies)}
        granted = {other: server.policy(other) or () for other in server.policies() if other not in own}
    except DeniedError as error:
        remedy = f"request policy {name}-doctor, which may read all policies; or list actual readers: secretops audit"
        return unknown(f"other policies can't be read: {error.what}", DECLARED, remedy)
    reads = {
        other: [rule.path for rule in rules if "read" in rule.may and rule.touches(f"{name}/data")]
        for other, rules in granted.items()
    }
    found = [f"{other} ({', '.join(paths)})" for other, paths in reads.items() if paths]
    return judge(
        [f"values of mount {name} may be read with policy {'; '.join(found)}"] if found else [],
        DECLARED,
        "remove these paths from the policy: bao policy write; to find the policy's holders: bao list "
        "identity/entity/name, and "
        "the roles of each auth method",
        f"none of {len(reads)} other policies reads {name}",
    )


def lease(server: VaultServer, tick: Repair | None) -> Result:
    server.reach()
    timing, document = server.timing, LeaseDocument(server.api, server.location.lease)
    held = document.read().record
    for _ in poll(timing.duration + timing.poll, timing.poll) if held else ():
        before, held = held, document.read().record
        if held and held != before:
            return ok(f"held by {held.holder}, which renews the lease")
        if not held:
            break
    return expired_lease(held.holder, timing.duration, tick) if held else ok("free")


def unknown_paths(server: VaultServer) -> Result:
    name = server.location.mount
    try:
        found = server.unknown_paths()
    except DeniedError as error:
        remedy = f'run doctor with a token whose policy has: path "{name}/metadata/" {{ capabilities = ["list"] }}'
        return unknown(f"not all paths can be listed: {error.what}", UNDECLARED_RULE, remedy)
    if not found:
        return ok("none")
    what = "in the stack's mount with a value, but not declared in the stack"
    return undeclared_secrets(found, what, f"bao kv metadata delete -mount={name} {found[0]} (permanent)")
