"""A Vault stack's own parts: the server, the token at hand, the mount, what it keeps, the trail, the lease, leftovers.

Who may what is in `vault_rights`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from secretops.check import Check, Level, Repair, Result, attention, ok, unknown
from secretops.errors import SecretopsError
from secretops.platforms.vault.checks.rights import (
    OthersRights,
    ReadersRights,
    RolesStand,
    RotatorsRights,
    SecretIdsLast,
)
from secretops.platforms.vault.checks.server import VaultServer
from secretops.platforms.vault.errors import DeniedError
from secretops.platforms.vault.lease import LeaseDocument

LEAST_VERSIONS = 3
"""A path needs room for the next version, the current and the previous one."""

MOST_SKEW = timedelta(seconds=30)
"""Times of versions are ours, those of tokens, secret ids and certificates the server's."""

CERTIFICATE_LEFT = timedelta(days=14)
CERTIFICATE_SHARE = 1 / 10
"""Of its life, for one that lives for days and is renewed by itself."""

TOKEN_LEFT = timedelta(minutes=10)
DEVICES_WANTED = 2


def vault_checks(server: VaultServer, tick: Repair | None = None) -> list[Check]:
    """The store's own checks, in the order in which one rests on the other."""
    return [
        ServerAnswers(server),
        CertificateLasts(server),
        ClocksAgree(server),
        OwnToken(server),
        MountServes(server),
        VersionsKept(server),
        TrailOn(server),
        RolesStand(server),
        SecretIdsLast(server),
        ReadersRights(server),
        RotatorsRights(server),
        OthersRights(server),
        LeaseFree(server, follow=tick),
        NoStrangers(server),
    ]


@dataclass(frozen=True)
class ServerAnswers:
    """The server answers from where doctor runs, proves to be it, is unsealed, and knows who asks."""

    server: VaultServer
    name: str = "server"

    def look(self) -> Result:
        try:
            self.server.reach()
        except SecretopsError as error:
            return Result.of(error, Level.ATTENTION)
        said = self.server.status
        cluster = f", cluster {said['cluster_name']}" if said.get("cluster_name") else ""
        return ok(f"{self.server.location.address}, version {said.get('version', 'unknown')}{cluster}")


@dataclass(frozen=True)
class CertificateLasts:
    """Nobody is cut off within days because the server's certificate ends."""

    server: VaultServer
    name: str = "TLS"

    def look(self) -> Result:
        begins, ends = self.server.certificate()
        if ends - datetime.now(UTC) < min(CERTIFICATE_LEFT, (ends - begins) * CERTIFICATE_SHARE):
            return attention(
                f"the server's certificate ends {ends:%Y-%m-%d %H:%M} UTC",
                "once it has ended nobody reads or rotates anything: every client checks it",
                "renew it, and have the server read it again (SIGHUP)",
            )
        return ok(f"the server's certificate is good until {ends:%Y-%m-%d}")


@dataclass(frozen=True)
class ClocksAgree:
    """The server's clock and this machine's."""

    server: VaultServer
    name: str = "clock"

    def look(self) -> Result:
        skew = self.server.skew
        if skew is None:
            return ok("not seen: the server's answers have no date")
        seconds = round(abs(skew.total_seconds()))
        if abs(skew) > MOST_SKEW:
            return attention(
                f"this machine's is {seconds} s {'behind' if skew > timedelta(0) else 'ahead of'} the server's",
                "when a version was published is told by whoever rotates, and when a login ends by the server",
                "set both by NTP",
            )
        return ok(f"{seconds} s apart")


@dataclass(frozen=True)
class OwnToken:
    """What doctor looks with: a person's own token, which is none of root's."""

    server: VaultServer
    name: str = "your token"

    def look(self) -> Result:
        said = self.server.token()
        policies = (*(said.get("policies") or ()), *(said.get("identity_policies") or ()))
        if "root" in policies:
            return attention(
                "it is a root token",
                "root may read every value and is held back by no policy; it is for setting a server up",
                "log in as yourself, with the stack's policy for operators, then revoke it: bao token revoke -self",
            )
        ttl = timedelta(seconds=float(said.get("ttl") or 0))
        if ttl and ttl < TOKEN_LEFT:
            return attention(
                f"it ends in {round(ttl.total_seconds())} s",
                "what a command has begun when its token ends is left to the next tick",
                "bao token renew, or bao login",
            )
        ends = f"for {ttl}" if ttl else "without an end"
        return ok(f"{said.get('display_name') or 'a token'} ({', '.join(policies)}), {ends}")


@dataclass(frozen=True)
class MountServes:
    """The stack's mount is there, and is a KV engine of version 2."""

    server: VaultServer
    name: str = "mount"

    def look(self) -> Result:
        name, said = self.server.location.mount, self.server.mount()
        where = f"in namespace {self.server.location.namespace}" if self.server.location.namespace else "on the server"
        if not said:
            return attention(
                f"there is no mount {name} {where}",
                "`pulumi up` mounts the store's KV engine, and whoever unmounts one removes all values in it",
                "secretops audit says who did what to it; pulumi up mounts it anew, empty",
            )
        version = str((said.get("options") or {}).get("version") or "1")
        if said.get("type") not in ("kv", "generic") or version != "2":
            return attention(
                f"{name} is {said.get('type')} of version {version}",
                "only KV of version 2 keeps versions and takes check-and-set",
                "pulumi up mounts one; what lies in this one is to be moved by hand",
            )
        return ok(f"{name}, KV of version 2")


@dataclass(frozen=True)
class VersionsKept:
    """No version that is needed goes by itself: neither the mount nor a path keeps too few, or for a time only."""

    server: VaultServer
    name: str = "versions kept"

    def look(self) -> Result:
        said = {self.server.location.mount: self.server.configuration()}
        said |= {path: self.server.path(path) for path in self.server.paths()}
        wrong = [f"{where} {why}" for where, each in said.items() for why in _goes_by_itself(each)]
        if wrong:
            return attention(
                "; ".join(wrong),
                f"a path needs room for {LEAST_VERSIONS} versions: the next, the current and the previous one, "
                "and only secretops removes any",
                "pulumi up sets the mount's; of a path: bao kv metadata put -max-versions=0 -delete-version-after=0s",
            )
        most = int(said[self.server.location.mount].get("max_versions") or 0)
        return ok(f"{most or 'ten'} of each path, until secretops removes them")


def _goes_by_itself(said: Mapping[str, Any]) -> Iterator[str]:
    most, after = int(said.get("max_versions") or 0), str(said.get("delete_version_after") or "0s")
    if 0 < most < LEAST_VERSIONS:
        yield f"keeps {most} versions"
    if after.strip("0hms"):
        yield f"deletes each version after {after}"


@dataclass(frozen=True)
class TrailOn:
    """Every read is on record, twice, and no record holds a value."""

    server: VaultServer
    name: str = "audit"

    def look(self) -> Result:
        devices = self.server.devices()
        wrong = list(self._wrong(devices))
        if wrong:
            return attention(
                "; ".join(wrong),
                "each read of a value is on record with an HMAC in its place; with two devices one may fail, with one "
                "the server then answers nobody, and with none nobody knows who read what",
                "declare two in the server's configuration (the stack's output `trail` has what to write there), "
                "then SIGHUP; a mount's HMACs: bao secrets tune -audit-non-hmac-response-keys=''",
            )
        return ok(", ".join(f"{name.strip('/')} ({said.get('type')})" for name, said in sorted(devices.items())))

    def _wrong(self, devices: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        if len(devices) < DEVICES_WANTED:
            yield f"the server has {f'one audit device, {next(iter(devices))}' if devices else 'no audit device'}"
        for name, said in devices.items():
            if str((said.get("options") or {}).get("log_raw", "")).lower() == "true":
                yield f"device {name.strip('/')} writes values as they are (log_raw)"
        tuned = (self.server.mount() or {}).get("config") or {}
        for key in ("audit_non_hmac_response_keys", "audit_non_hmac_request_keys"):
            if bare := tuned.get(key):
                yield f"the mount has {', '.join(bare)} written as they are ({key})"


@dataclass(frozen=True)
class LeaseFree:
    """Nobody holds the lease, or somebody who lives: whoever was killed with it is followed after its duration."""

    server: VaultServer
    follow: Repair | None = None
    """What follows a holder that was killed."""
    name: str = "lease"

    def look(self) -> Result:
        self.server.reach()
        timing, document = self.server.timing, LeaseDocument(self.server.api, self.server.location.lease)
        held, began = document.read().record, time.monotonic()
        while held and time.monotonic() - began < timing.duration + timing.look:
            time.sleep(timing.look)
            before, held = held, document.read().record
            if held and held != before:
                return ok(f"held by {held.holder}, who renews it")
        if held:
            return attention(
                f"held by {held.holder}, who did not renew it for {timing.duration:.0f} s",
                "who lives renews it: this one was killed, and may have left a rotation half-done",
                "secretops tick follows it, and finishes what was begun",
                self.follow,
            )
        return ok("free")


@dataclass(frozen=True)
class NoStrangers:
    """No path of the mount has a value that the stack does not know: it left the stack, or somebody put it there."""

    server: VaultServer
    name: str = "unknown paths"

    def look(self) -> Result:
        mount = self.server.location.mount
        try:
            staying = self.server.strangers()
        except DeniedError as error:
            return unknown(
                f"not all paths can be listed: {error.what}",
                "what the stack does not know nobody rotates, and whoever may read it still finds its value",
                f'look as an operator: path "{mount}/metadata/" {{ capabilities = ["list"] }}',
            )
        if staying:
            return attention(
                f"{', '.join(staying)}: with a value in the stack's own mount, and none of its secrets",
                "what the stack does not know nobody rotates, and whoever may read it still finds its value",
                f"bao kv metadata delete -mount={mount} {staying[0]}, for good; or put it back into the stack's file",
            )
        return ok("none")
