"""Who may log in and read: the roles that the stack declares, their secret ids, and what policies really grant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from secretops.check import Result, attention, ok, unknown
from secretops.platforms.vault.checks.policy import Rule
from secretops.platforms.vault.checks.server import Role, VaultServer
from secretops.platforms.vault.errors import DeniedError

LONGEST_TOKEN = timedelta(hours=24)
"""A token that was stolen is good for as long."""

SECRET_IDS_LEFT = timedelta(days=7)

READ = frozenset({"read"})
WRITE = frozenset({"create", "update", "read"})
NOTE = WRITE | {"patch"}
DROP = NOTE | {"delete"}
DESTROY = SIGN = frozenset({"update"})

Rights = Mapping[str, frozenset[str]]
"""Path -> capabilities on it."""


@dataclass(frozen=True)
class RolesStand:
    """Each declared program has its role, whose tokens live for long enough to be renewed and not much longer."""

    server: VaultServer
    name: str = "roles"

    def look(self) -> Result:
        roles = self.server.roles
        if missing := [entry for entry, role in roles.items() if role is None]:
            return attention(
                f"there is no role {', '.join(missing)}",
                "whoever is declared to read logs in by a role of an auth method",
                "pulumi up makes the roles; does the method stand at that path? bao auth list",
            )
        if wrong := [f"{role.entry}: {why}" for role in roles.values() if role for why in _wrong(role)]:
            return attention(
                "; ".join(wrong),
                f"a token is renewed and lives for {LONGEST_TOKEN} at most, and a login may be made again",
                "pulumi up sets what the stack's file says of a role",
            )
        return ok(", ".join(roles) or "none is declared")


def _wrong(role: Role) -> Iterator[str]:
    said = role.said
    ttl = timedelta(seconds=float(said.get("token_ttl") or 0) or float(said.get("token_period") or 0))
    if not ttl or ttl > LONGEST_TOKEN:
        yield (
            f"its tokens live for {ttl}" if ttl else "its tokens live for the server's default, 32 days unless changed"
        )
    if uses := int(said.get("token_num_uses") or 0):
        yield f"its tokens are good for {uses} requests"
    if uses := int(said.get("secret_id_num_uses") or 0):
        yield f"a secret id of it is good for {uses} logins, and then nobody logs in anew"
    if not role.policies:
        yield "it has no policy"


@dataclass(frozen=True)
class SecretIdsLast:
    """Each AppRole has a secret id, and one that does not end within days."""

    server: VaultServer
    name: str = "secret ids"

    def look(self) -> Result:
        roles = [role for role in self.server.roles.values() if role and role.takes_secret_ids]
        if not roles:
            return ok("no role takes any")
        told, wrong = [], {}
        for role in roles:
            ends = self.server.secret_ids(role)
            last = None if not ends or None in ends else max(end for end in ends if end)
            if not ends:
                wrong[role.path] = f"{role.entry} has none: nobody can log in as it"
            elif last and last - datetime.now(UTC) < SECRET_IDS_LEFT:
                wrong[role.path] = f"the last one of {role.entry} ends {last:%Y-%m-%d %H:%M} UTC"
            told.append(f"{role.entry}: {len(ends)}, until {f'{last:%Y-%m-%d}' if last else 'revoked'}")
        if wrong:
            return attention(
                "; ".join(wrong.values()),
                "what logs in by AppRole does so again and again, with the secret id in its file",
                f"into its file, with umask 077: {_made(wrong)} (-wrap-ttl=10m -field=wrapping_token in place of "
                "-field=secret_id for a server whose login is wrapped)",
            )
        return ok("; ".join(told))


def _made(roles: Iterable[str]) -> str:
    """How an operator makes a secret id of each."""
    return "; ".join(f"bao write -f -field=secret_id {path}/secret-id > FILE" for path in roles)


@dataclass(frozen=True)
class ReadersRights:
    """Whoever reads only may read what is declared, and nothing else in the mount."""

    server: VaultServer
    name: str = "readers' rights"

    def look(self) -> Result:
        readers = [role for entry, role in self.server.roles.items() if role and entry != self.server.rotator]
        return _compared(self.server, [(role, *self._declared(role.entry)) for role in readers])

    def _declared(self, entry: str) -> tuple[Rights, Rights]:
        mount, readers = self.server.location.mount, self.server.location.readers
        paths = [path for path, who in readers.items() if entry in who]
        values = {f"{mount}/data/{path}": READ for path in paths}
        return values, values | {f"{mount}/metadata/{path}": READ for path in paths}


@dataclass(frozen=True)
class RotatorsRights:
    """Whoever rotates may what that takes on each path of the stack, and nothing else in the mount."""

    server: VaultServer
    name: str = "rotator's rights"

    def look(self) -> Result:
        role = self.server.roles.get(self.server.rotator)
        if role is None:
            return attention(
                "no role of a rotator is there",
                "the first reader of the lease is who rotates",
                "pulumi up makes its role",
            )
        place = self.server.location
        rights = {f"{place.mount}/data/{place.lease}": WRITE, f"{place.mount}/metadata/{place.lease}": NOTE}
        for path in place.secrets.values():
            rights |= {f"{place.mount}/data/{path}": WRITE, f"{place.mount}/metadata/{path}": NOTE}
            rights |= {f"{place.mount}/destroy/{path}": DESTROY}
        for path in place.pending.values():  # which is removed whole
            rights |= {f"{place.mount}/data/{path}": WRITE, f"{place.mount}/metadata/{path}": DROP}
        rights |= dict.fromkeys(self.server.signs, SIGN)
        return _compared(self.server, [(role, rights, rights)])


def _compared(server: VaultServer, declared: Sequence[tuple[Role, Rights, Rights]]) -> Result:
    """What policies grant below the mount, beside what they have to, and may."""
    said = []
    for role, needed, allowed in declared:
        granted = [(name, rule) for name in role.policies for rule in server.policy(name) or ()]
        if lost := [name for name in role.policies if server.policy(name) is None]:
            said.append(f"{role.entry} has policy {', '.join(lost)}, which is not there")
        said += [f"{role.entry} may {more}" for more in _wider(granted, allowed, server.location.mount)]
        said += [f"{role.entry} may not {less}" for less in _narrower([rule for _, rule in granted], needed)]
    if said:
        return attention(
            "; ".join(said),
            "a program's policy names each path by itself, and grants what its work takes",
            "pulumi up writes the stack's policies anew; who changed one: the audit log has it",
        )
    return ok("; ".join(f"{role.entry}: {len(allowed)} paths and no others" for role, _, allowed in declared))


def _wider(granted: list[tuple[str, Rule]], allowed: Rights, mount: str) -> Iterator[str]:
    for name, rule in granted:
        more = rule.may - allowed.get(rule.path, frozenset())
        if more and rule.touches(mount):
            yield f"{'/'.join(sorted(more))} {rule.path} by policy {name}"


def _narrower(granted: list[Rule], needed: Rights) -> Iterator[str]:
    for path, rights in needed.items():
        held = frozenset[str]().union(*(rule.may for rule in granted if rule.covers(path)))
        if less := rights - held:
            yield f"{'/'.join(sorted(less))} {path}"


@dataclass(frozen=True)
class OthersRights:
    """No policy of somebody else reads the stack's mount. Who has such a policy is not looked at."""

    server: VaultServer
    name: str = "others' rights"

    def look(self) -> Result:
        mount = self.server.location.mount
        try:
            others = [name for name in self.server.policies() if name not in self._own()]
            reaching = {name: self._reads(name) for name in others}
        except DeniedError as error:
            return unknown(
                f"not seen: {error.what}",
                "only who is declared reads the stack's secrets",
                f"ask for the policy {self.server.location.mount}-doctor, which reads every policy of the server; or "
                "secretops audit: who really reads",
            )
        if found := [f"{name} ({', '.join(paths)})" for name, paths in reaching.items() if paths]:
            return attention(
                f"values of {mount} may be read by whoever has policy {'; '.join(found)}",
                "only who is declared reads the stack's secrets",
                "take the mount out of that policy; who has it: bao list identity/entity/name, the auth methods' roles",
            )
        return ok(f"none of {len(others)} other policies reads {mount}")

    def _own(self) -> set[str]:
        """Those of the declared roles, of whoever looks, and root's, which has no text."""
        said = self.server.token()
        mine = {*(said.get("policies") or ()), *(said.get("identity_policies") or ())} - {"default"}
        return {"root", *mine, *(name for role in self.server.roles.values() if role for name in role.policies)}

    def _reads(self, name: str) -> list[str]:
        rules = self.server.policy(name) or ()
        return [
            rule.path for rule in rules if "read" in rule.may and rule.touches(f"{self.server.location.mount}/data")
        ]
