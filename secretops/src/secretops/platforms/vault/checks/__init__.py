"""Doctor's checks of a Vault stack: server, token, mount, audit devices, roles, policies, lease and unknown paths."""

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
    expired_lease,
    judge,
    ok,
    poll,
    reached,
    table,
    undeclared_secrets,
    unknown,
)
from secretops.platforms.vault.checks.policy import Rule
from secretops.platforms.vault.checks.server import Role, VaultServer
from secretops.platforms.vault.errors import DeniedError
from secretops.platforms.vault.lease import LeaseDocument

# A path needs room for the next version, the current and the previous one.
LEAST_VERSIONS = 3
# Times of versions are by this machine's clock, those of tokens, secret ids and certificates by the server's.
MAX_SKEW = timedelta(seconds=30)
# Before the end of a certificate; of one that lives for days and is renewed automatically, a share of its life.
CERTIFICATE_LEFT = timedelta(days=14)
CERTIFICATE_SHARE = 1 / 10
TOKEN_LEFT = timedelta(minutes=10)
SECRET_IDS_LEFT = timedelta(days=7)
DEVICES_WANTED = 2
# A stolen token works for as long.
LONGEST_TOKEN = timedelta(hours=24)
READ = frozenset({"read"})
WRITE = frozenset({"create", "update", "read"})
NOTE = WRITE | {"patch"}
DROP = NOTE | {"delete"}
DESTROY = SIGN = frozenset({"update"})
# Path -> capabilities on it.
Rights = Mapping[str, frozenset[str]]
DECLARED = "only who is declared reads the stack's secrets"


def vault_checks(server: VaultServer, tick: Repair | None = None) -> list[Check]:
    return table(
        server,
        {
            "server": lambda it: reached(it.reach, lambda: _release(it)),
            "TLS": certificate,
            "clock": clock,
            "your token": own_token,
            "mount": mount,
            "versions kept": versions_kept,
            "audit": audit,
            "roles": roles,
            "secret ids": secret_ids,
            "readers' rights": readers_rights,
            "rotator's rights": rotators_rights,
            "others' rights": others_rights,
            "lease": partial(lease, follow=tick),
            "unknown paths": unknown_paths,
        },
    )


def _release(server: VaultServer) -> str:
    name, version = server.status.get("cluster_name"), server.status.get("version", "unknown")
    return f"{server.location.address}, version {version}{f', cluster {name}' if name else ''}"


def certificate(server: VaultServer) -> Result:
    """Check that the server's certificate does not expire within days."""
    begins, ends = server.certificate()
    is_short = ends - datetime.now(UTC) < min(CERTIFICATE_LEFT, (ends - begins) * CERTIFICATE_SHARE)
    return judge(
        [f"the server's certificate ends {ends:%Y-%m-%d %H:%M} UTC"] if is_short else [],
        "once it has ended nobody reads or rotates anything: every client checks it",
        "renew it, and have the server read it again (SIGHUP)",
        f"the server's certificate is good until {ends:%Y-%m-%d}",
    )


def clock(server: VaultServer) -> Result:
    """Compare the server's clock with this machine's."""
    skew: timedelta | None = server.status["skew"]
    if skew is None:
        return ok("not seen: the server's answers have no date")
    seconds, side = round(abs(skew.total_seconds())), "behind" if skew > timedelta(0) else "ahead of"
    return judge(
        [f"this machine's is {seconds} s {side} the server's"] if abs(skew) > MAX_SKEW else [],
        "when a version was published is told by whoever rotates, and when a login ends by the server",
        "set both by NTP",
        f"{seconds} s apart",
    )


def own_token(server: VaultServer) -> Result:
    """Check that doctor runs with a person's own token, not with root's, and that it lasts."""
    found = server.token()
    if "root" in found["policies"]:
        return attention(
            "it is a root token",
            "root may read every value and is held back by no policy; it is for setting a server up",
            "log in as yourself, with the stack's policy for operators, then revoke it: bao token revoke -self",
        )
    ttl = timedelta(seconds=float(found.get("ttl") or 0))
    ends = f"for {ttl}" if ttl else "without an end"
    return judge(
        [f"it ends in {round(ttl.total_seconds())} s"] if ttl and ttl < TOKEN_LEFT else [],
        "what a command has begun when its token ends is left to the next tick",
        "bao token renew, or bao login",
        f"{found.get('display_name') or 'a token'} ({', '.join(found['policies'])}), {ends}",
    )


def mount(server: VaultServer) -> Result:
    """Check that the stack's mount exists, and is a KV engine of version 2."""
    name, found, namespace = server.location.mount, server.mount(), server.location.namespace
    if not found:
        return attention(
            f"there is no mount {name} {f'in namespace {namespace}' if namespace else 'on the server'}",
            "`pulumi up` mounts the store's KV engine, and whoever unmounts one removes all values in it",
            "secretops audit says who did what to it; pulumi up mounts it anew, empty",
        )
    version = str((found.get("options") or {}).get("version") or "1")
    is_kv2 = found.get("type") in ("kv", "generic") and version == "2"
    return judge(
        [] if is_kv2 else [f"{name} is {found.get('type')} of version {version}"],
        "only KV of version 2 keeps versions and takes check-and-set",
        "pulumi up mounts one; what lies in this one is to be moved by hand",
        f"{name}, KV of version 2",
    )


def versions_kept(server: VaultServer) -> Result:
    """Check that neither the mount nor a path keeps too few versions, or deletes them after a time."""
    name = server.location.mount
    found = {name: server.read(f"{name}/config")}
    found |= {path: server.read(f"{name}/metadata/{path}") for path in server.paths}
    most = int(found[name].get("max_versions") or 0)
    return judge(
        (f"{where} {why}" for where, each in found.items() for why in _forgets(each)),
        f"a path needs room for {LEAST_VERSIONS} versions: the next, the current and the previous one, "
        "and only secretops removes any",
        "pulumi up sets the mount's; of a path: bao kv metadata put -max-versions=0 -delete-version-after=0s",
        f"{most or 'ten'} of each path, until secretops removes them",
    )


def _forgets(config: Mapping[str, Any]) -> Iterator[str]:
    most, after = int(config.get("max_versions") or 0), str(config.get("delete_version_after") or "0s")
    if 0 < most < LEAST_VERSIONS:
        yield f"keeps {most} versions"
    if after.strip("0hms"):
        yield f"deletes each version after {after}"


def audit(server: VaultServer) -> Result:
    """Check that two audit devices record every read, and no value."""
    devices = server.read("sys/audit")
    return judge(
        _audit_gaps(server, devices),
        "each read of a value is on record with an HMAC in its place; with two devices one may fail, with one "
        "the server then answers nobody, and with none nobody knows who read what",
        "declare two in the server's configuration (the stack's output `trail` has what to write there), "
        "then SIGHUP; a mount's HMACs: bao secrets tune -audit-non-hmac-response-keys=''",
        ", ".join(f"{name.strip('/')} ({device.get('type')})" for name, device in sorted(devices.items())),
    )


def _audit_gaps(server: VaultServer, devices: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if len(devices) < DEVICES_WANTED:
        yield f"the server has {f'one audit device, {next(iter(devices))}' if devices else 'no audit device'}"
    for name, device in devices.items():
        if str((device.get("options") or {}).get("log_raw", "")).lower() == "true":
            yield f"device {name.strip('/')} writes values as they are (log_raw)"
    tuned = server.mount().get("config") or {}
    for key in ("audit_non_hmac_response_keys", "audit_non_hmac_request_keys"):
        if bare := tuned.get(key):
            yield f"the mount has {', '.join(bare)} written as they are ({key})"


def roles(server: VaultServer) -> Result:
    """Check that each declared program has its role, and that its tokens can be renewed and do not last long."""
    if missing := [entry for entry, role in server.roles.items() if role is None]:
        return attention(
            f"there is no role {', '.join(missing)}",
            "whoever is declared to read logs in by a role of an auth method",
            "pulumi up makes the roles; does the method stand at that path? bao auth list",
        )
    return judge(
        (f"{role.entry}: {why}" for role in server.roles.values() if role for why in _role_faults(role)),
        f"a token is renewed and lives for {LONGEST_TOKEN} at most, and a login may be made again",
        "pulumi up sets what the stack's file says of a role",
        ", ".join(server.roles) or "none is declared",
    )


def _role_faults(role: Role) -> Iterator[str]:
    fields = role.fields
    ttl = timedelta(seconds=float(fields.get("token_ttl") or 0) or float(fields.get("token_period") or 0))
    if not ttl or ttl > LONGEST_TOKEN:
        default = "the server's default, 32 days unless changed"
        yield f"its tokens live for {ttl or default}"
    if uses := int(fields.get("token_num_uses") or 0):
        yield f"its tokens are good for {uses} requests"
    if uses := int(fields.get("secret_id_num_uses") or 0):
        yield f"a secret id of it is good for {uses} logins, and then nobody logs in anew"
    if not role.policies:
        yield "it has no policy"


def secret_ids(server: VaultServer) -> Result:
    """Check that each AppRole has a secret id that does not expire within days."""
    healthy, wrong = [], dict[str, str]()
    for role in server.roles.values():
        if not role or not role.fields.get("bind_secret_id"):  # of AppRole alone
            continue
        ends = server.secret_ids(role)
        last = None if not ends or None in ends else max(end for end in ends if end)
        if not ends:
            wrong[role.path] = f"{role.entry} has none: nobody can log in as it"
        elif last and last - datetime.now(UTC) < SECRET_IDS_LEFT:
            wrong[role.path] = f"the last one of {role.entry} ends {last:%Y-%m-%d %H:%M} UTC"
        healthy.append(f"{role.entry}: {len(ends)}, until {f'{last:%Y-%m-%d}' if last else 'revoked'}")
    commands = "; ".join(f"bao write -f -field=secret_id {path}/secret-id > FILE" for path in wrong)
    return judge(
        wrong.values(),
        "what logs in by AppRole does so again and again, with the secret id in its file",
        f"into its file, with umask 077: {commands} (-wrap-ttl=10m -field=wrapping_token in place of "
        "-field=secret_id for a server whose login is wrapped)",
        "; ".join(healthy) or "no role takes any",
    )


def readers_rights(server: VaultServer) -> Result:
    """Check that readers may read what they are declared to, and nothing else in the mount."""
    name, compared = server.location.mount, []
    for entry, role in server.roles.items():
        if role and entry != server.rotator:
            paths = [path for path, who in server.location.readers.items() if entry in who]
            values = {f"{name}/data/{path}": READ for path in paths}
            compared.append((role, values, values | {f"{name}/metadata/{path}": READ for path in paths}))
    return _compare(server, compared)


def rotators_rights(server: VaultServer) -> Result:
    """Check that the rotator may do its work on each path of the stack, and nothing else in the mount."""
    role, place = server.roles.get(server.rotator), server.location
    if role is None:
        rule = "the first reader of the lease is who rotates"
        return attention("no role of a rotator is there", rule, "pulumi up makes its role")
    data, metadata = f"{place.mount}/data", f"{place.mount}/metadata"
    rights = {f"{data}/{place.lease}": WRITE, f"{metadata}/{place.lease}": NOTE}
    for path in place.secrets.values():
        rights |= {f"{data}/{path}": WRITE, f"{metadata}/{path}": NOTE, f"{place.mount}/destroy/{path}": DESTROY}
    for path in place.pending.values():  # which is removed whole
        rights |= {f"{data}/{path}": WRITE, f"{metadata}/{path}": DROP}
    rights |= dict.fromkeys(server.signs, SIGN)
    return _compare(server, [(role, rights, rights)])


def _compare(server: VaultServer, declared: Sequence[tuple[Role, Rights, Rights]]) -> Result:
    """Compare what policies grant below the mount with the needed rights, and with the allowed ones."""
    wrong = []
    for role, needed, allowed in declared:
        policies = {name: server.policy(name) for name in role.policies}
        granted = [(name, rule) for name, found in policies.items() for rule in found or ()]
        if lost := [name for name, found in policies.items() if found is None]:
            wrong.append(f"{role.entry} has policy {', '.join(lost)}, which is not there")
        wrong += [f"{role.entry} may {more}" for more in _wider(granted, allowed, server.location.mount)]
        wrong += [f"{role.entry} may not {less}" for less in _narrower([rule for _, rule in granted], needed)]
    return judge(
        wrong,
        "a program's policy names each path by itself, and grants what its work takes",
        "pulumi up writes the stack's policies anew; who changed one: the audit log has it",
        "; ".join(f"{role.entry}: {len(allowed)} paths and no others" for role, _, allowed in declared),
    )


def _wider(granted: Iterable[tuple[str, Rule]], allowed: Rights, mount: str) -> Iterator[str]:
    for name, rule in granted:
        more = rule.may - allowed.get(rule.path, frozenset())
        if more and rule.touches(mount):
            yield f"{'/'.join(sorted(more))} {rule.path} by policy {name}"


def _narrower(granted: Sequence[Rule], needed: Rights) -> Iterator[str]:
    for path, rights in needed.items():
        held = frozenset[str]().union(*(rule.may for rule in granted if rule.covers(path)))
        if less := rights - held:
            yield f"{'/'.join(sorted(less))} {path}"


def others_rights(server: VaultServer) -> Result:
    """Check that no other policy reads the stack's mount. Who has such a policy is not checked."""
    name = server.location.mount
    # The caller's, those of the declared roles, and root's, which has no text.
    try:
        own = {*server.token()["policies"]} - {"default"}
        own |= {"root", *(each for role in server.roles.values() if role for each in role.policies)}
        granted = {other: server.policy(other) or () for other in server.policies() if other not in own}
    except DeniedError as error:
        return unknown(
            f"not seen: {error.what}",
            DECLARED,
            f"ask for the policy {name}-doctor, which reads every policy of the server; or secretops audit: who really "
            "reads",
        )
    reads = {
        other: [rule.path for rule in found if "read" in rule.may and rule.touches(f"{name}/data")]
        for other, found in granted.items()
    }
    found = [f"{other} ({', '.join(paths)})" for other, paths in reads.items() if paths]
    return judge(
        [f"values of {name} may be read by whoever has policy {'; '.join(found)}"] if found else [],
        DECLARED,
        "take the mount out of that policy; who has it: bao list identity/entity/name, the auth methods' roles",
        f"none of {len(reads)} other policies reads {name}",
    )


def lease(server: VaultServer, follow: Repair | None) -> Result:
    """Check that the lease is free, or renewed. `follow` takes over from a holder that was killed."""
    server.reach()
    timing, document = server.timing, LeaseDocument(server.api, server.location.lease)
    held = document.read().record
    for _ in poll(timing.duration + timing.poll, timing.poll) if held else ():
        before, held = held, document.read().record
        if held and held != before:
            return ok(f"held by {held.holder}, who renews it")
        if not held:
            break
    return expired_lease(held.holder, timing.duration, follow) if held else ok("free")


def unknown_paths(server: VaultServer) -> Result:
    """Find paths of the mount with a value that the stack does not know: they left it, or somebody made them."""
    name = server.location.mount
    try:
        staying = server.strangers()
    except DeniedError as error:
        remedy = f'look as an operator: path "{name}/metadata/" {{ capabilities = ["list"] }}'
        return unknown(f"not all paths can be listed: {error.what}", UNDECLARED_RULE, remedy)
    if not staying:
        return ok("none")
    what = "with a value in the stack's own mount, and none of its secrets"
    return undeclared_secrets(staying, what, f"bao kv metadata delete -mount={name} {staying[0]}, for good")
