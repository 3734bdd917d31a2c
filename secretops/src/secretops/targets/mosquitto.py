"""Manage users of a mosquitto broker with its dynamic security plugin (plugins/dynamic-security/README.md).

Setting a user's password or roles, even to the same ones, ends the user's sessions. So commands without effect are not
sent.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from secretops.engine.ports import UserTakenError
from secretops.errors import RefusedError
from secretops.redaction import redact
from secretops.targets.connection import Connection, logs_in
from secretops.targets.reports import HINTS, REPORTS, reports_of
from secretops.targets.users import BrokerUsers
from secretops.values import Value, new_password

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

COMMANDS = "$CONTROL/dynamic-security/v1"
ANSWERS = "$CONTROL/dynamic-security/v1/response"

# Role that `mosquitto_ctrl dynsec init` creates for the first admin.
ADMIN_ROLE = "admin"

SEND = "publishClientSend"
ACL_TYPES = (SEND, "publishClientReceive", "subscribePattern", "unsubscribePattern")
_CLIENT_NOT_FOUND = "Client not found"
_ROLE_NOT_FOUND = "Role not found"


class MosquittoTarget(BrokerUsers):
    self_change_risk = "the plugin ends an admin's session before answering"

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the broker accept `credential`, and set its user's role. Changes only what differs."""
        username = credential["username"]
        self._refuse_self(admin, username)
        with self._open(admin) as connection:
            security = DynamicSecurity(connection)
            client = security.find("getClient", _CLIENT_NOT_FOUND, username=username)
            known = client is not None and logs_in(self._broker, credential, deadline=self._deadline)
            if new and client is not None and not known:
                raise UserTakenError(f"{connection.address}: user {username} exists", code="broker-user-exists")
            role = ADMIN_ROLE if self._admin else self._server_role(security, username)
            roles = [{"rolename": role}]
            if client is None:
                security.run("createClient", username=username, password=credential["password"], roles=roles)
                return
            found = _client(client)
            if not known:
                security.run("setClientPassword", username=username, password=credential["password"])
            if found.get("roles") != [role]:
                security.run("modifyClient", username=username, roles=roles)
            if found.get("disabled"):
                security.run("enableClient", username=username)

    def _verify_admin(self, credential: Value) -> None:
        with self._open(credential) as connection:
            DynamicSecurity(connection).run("listRoles")

    def retire(self, admin: Value, username: str) -> None:
        """Set a random password, which also ends the user's sessions. A missing user is no error."""
        self._refuse_self(admin, username)
        random = Value({"username": username, "password": new_password()})
        with self._open(admin) as connection:
            DynamicSecurity(connection).find("setClientPassword", _CLIENT_NOT_FOUND, **random)

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether each of `usernames` is the only user that may publish the reports of its servers."""
        access: dict[str, Any] = {}
        with self._open(admin) as connection:
            security = DynamicSecurity(connection)
            for command in ("getDefaultACLAccess", "getAnonymousGroup"):
                access |= security.run(command)
            for command in ("listRoles", "listGroups", "listClients"):
                access |= security.run(command, verbose=True)
        try:
            return all(publishers(access, reports_of(name)) == {name} for name in usernames)
        except (KeyError, TypeError, AttributeError):
            return False

    def _server_role(self, security: DynamicSecurity, username: str) -> str:
        """Return the name of the role for a server's user. Creates the role if it is missing."""
        allowed = dict.fromkeys((*self._broker.topics, f"{REPORTS}/#", f"{HINTS}/#"))
        acls = [_acl(acl_type, topic, 0, allow=True) for topic in allowed for acl_type in ACL_TYPES]
        acls += [_acl(SEND, f"{REPORTS}/#", 1, allow=False), _acl(SEND, f"{reports_of(username)}/#", 2, allow=True)]
        # A change of a role would end its users' sessions. So new rules are a role with a new name, which a user gets
        # at its next rotation.
        name = f"coreflux-mcp-{hashlib.sha256(json.dumps(acls, sort_keys=True).encode()).hexdigest()[:8]}"
        if security.find("getRole", _ROLE_NOT_FOUND, rolename=name) is None:
            try:
                security.run("createRole", rolename=name, acls=acls)
            except RefusedError:  # another stack may have created it
                if security.find("getRole", _ROLE_NOT_FOUND, rolename=name) is None:
                    raise
        return name


class DynamicSecurity:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.subscribe(ANSWERS)

    def run(self, command: str, **arguments: object) -> dict[str, Any]:
        """Run a command, and return the answer's data. If it fails, raises RefusedError with the plugin's reason."""
        return self.find(command, None, **arguments) or {}

    def find(self, command: str, missing: str | None, **arguments: object) -> dict[str, Any] | None:
        """Run a command. Return None if it fails with the error `missing`; raise RefusedError for another error."""
        answer = self._ask(command, arguments)
        if (error := answer.get("error")) is None:
            return dict(answer.get("data") or {})
        if error == missing:
            return None
        about = arguments.get("username") or arguments.get("rolename") or "everything"
        admin, reason = self._connection.username, redact(str(error))
        raise RefusedError(
            f"{self._connection.address}: {command} failed for {about}: {reason}",
            rule=f"the broker must run the commands of its admin {admin}",
            remedy=f"check the admin's roles: mosquitto_ctrl dynsec getClient {admin}",
            code="broker-command-denied",
        )

    def _ask(self, command: str, arguments: dict[str, object]) -> dict[str, Any]:
        token = secrets.token_hex(8)
        request = {"commands": [{"command": command, "correlationData": token, **arguments}]}

        def mine(message: MQTTMessage) -> dict[str, Any] | None:
            try:
                answers = json.loads(message.payload)["responses"]
                answer = next((dict(each) for each in answers if each.get("correlationData") == token), None)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # not an answer
                return None
            return answer if answer and isinstance(answer.get("data") or {}, dict) else None

        self._connection.publish(COMMANDS, json.dumps(request))
        if (answer := self._connection.receive(mine)) is None:
            # Under MQTT 3.1.1 mosquitto acknowledges a denied message, and drops it.
            admin = self._connection.username
            raise RefusedError(
                f"{self._connection.address}: user {admin} got no answer to the command {command}",
                rule=f"the dynamic security plugin only answers users who have the role {ADMIN_ROLE}",
                remedy=f"check that the broker loads mosquitto_dynamic_security.so; then check the roles of {admin}: "
                f"mosquitto_ctrl dynsec getClient {admin}",
                code="broker-command-unanswered",
            )
        return answer


def _acl(acl_type: str, topic: str, priority: int, *, allow: bool) -> dict[str, object]:
    return {"acltype": acl_type, "topic": topic, "priority": priority, "allow": allow}


def _client(data: dict[str, Any]) -> dict[str, Any]:
    found = data.get("client")
    if not isinstance(found, dict):
        return {}
    roles = found.get("roles")
    named = [each.get("rolename") for each in roles if isinstance(each, dict)] if isinstance(roles, list) else []
    return {**found, "roles": named}


def publishers(access: Mapping[str, Any], tree: str) -> set[str] | None:
    """Return the users that may publish below `tree`; None if anonymous clients may, or all users by default.

    `access`: answers to listClients, listGroups, listRoles (verbose), getDefaultACLAccess and getAnonymousGroup. Raises
    KeyError, TypeError, AttributeError if an answer is invalid.
    """
    if any(entry["allow"] for entry in access["acls"] if entry["acltype"] == SEND):
        return None
    allowing = {role["rolename"] for role in access["roles"] if may_publish(role.get("acls", ()), tree)}
    groups = {group["groupname"] for group in access["groups"] if allowing & _roles(group)}
    if (access.get("group") or {}).get("groupname") in groups:
        return None
    return {
        client["username"]
        for client in access["clients"]
        if allowing & _roles(client) or groups & {group["groupname"] for group in client.get("groups", ())}
    }


def may_publish(entries: Iterable[Mapping[str, Any]], tree: str) -> bool:
    """Return whether a role with these ACL entries may publish below the topic `tree`, which has no wildcard.

    The matching entry with the highest priority decides (Mosquitto's plugins/dynamic-security/README.md).
    """
    sending = (entry for entry in entries if entry["acltype"] == SEND)
    for entry in sorted(sending, key=lambda entry: (-entry.get("priority", 0), not entry["allow"])):
        if entry["allow"] and _meets(entry["topic"], tree):
            return True
        if not entry["allow"] and _covers(entry["topic"], tree):
            return False
    return False


def _roles(holder: Mapping[str, Any]) -> set[str]:
    return {role["rolename"] for role in holder.get("roles", ())}


def _meets(topic_filter: str, tree: str) -> bool:
    """Return whether a filter matches a topic at or below `tree`. The placeholders %c and %u match any text."""
    levels = ["+" if "%c" in level or "%u" in level else level for level in topic_filter.split("/")]
    return _matches("/".join(levels[: tree.count("/") + 1]), tree)


def _covers(topic_filter: str, tree: str) -> bool:
    return topic_filter.endswith("#") and _matches(topic_filter, tree)


def _matches(topic_filter: str, topic: str) -> bool:
    from paho.mqtt.client import topic_matches_sub

    return bool(topic_matches_sub(topic_filter, topic))
