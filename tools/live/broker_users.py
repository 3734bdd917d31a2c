"""Removes the throwaway copy's users from the user's own broker."""

from __future__ import annotations

from secretops.errors import SecretopsError
from secretops.manifest import BrokerKind, Manifest
from secretops.operations.session import Session
from secretops.targets.connection import Connection
from secretops.targets.coreflux import Commands
from secretops.targets.mosquitto import DynamicSecurity
from secretops.values import Value


def remove(manifest: Manifest, admin: Value | None) -> tuple[str, dict[str, str]]:
    """Delete the stack's users on the broker. Ignore users that do not exist.

    Return the reason of a failure or "", and a map from each user that may remain to the command that removes it.
    """
    broker, users = manifest.broker, [user for secret in manifest.secrets for user in secret.users]
    is_mosquitto = broker.kind is BrokerKind.MOSQUITTO
    ctrl = f"mosquitto_ctrl -h {broker.host} -p {broker.port} -u ADMIN dynsec deleteClient"
    by_hand = ctrl if is_mosquitto else "publish to $SYS/Coreflux/Command: -removeUser"
    leftovers = {user: f"{by_hand} {user}" for user in users}
    if admin is None:
        return "the broker's admin is not on standard input", leftovers
    try:
        if broker.certificate_secret or getattr(manifest.store, "issued", None):
            broker = Session.open(manifest, role="operator").broker
        with Connection(broker, admin) as connection:
            for user in users:
                if is_mosquitto:
                    DynamicSecurity(connection).find("deleteClient", "Client not found", username=user)
                else:
                    commands = Commands(connection)
                    error = commands.send("removeUser", user).error
                    if error and commands.send("listUserGroups", user).error is None:
                        raise error
                del leftovers[user]
    except SecretopsError as error:
        return error.what, leftovers
    return "", {}
