"""Users of a mosquitto with the dynamic security plugin.

Commands and answers as in mosquitto's plugins/dynamic-security/README.md. The plugin drops every live session of a user
whose password or roles are set, even to what they were: hence nothing is sent that is not needed.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from secretops.engine.ports import UserTakenError
from secretops.errors import RefusedError
from secretops.manifest import Broker
from secretops.redaction import redact
from secretops.targets.access_list import SEND, publishers
from secretops.targets.connection import DEADLINE_SECONDS, Connection, logs_in
from secretops.targets.probe import prove_access
from secretops.targets.reports import HINTS, REPORTS, reports_of
from secretops.values import Value, new_password

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

COMMANDS = "$CONTROL/dynamic-security/v1"
ANSWERS = "$CONTROL/dynamic-security/v1/response"

ADMIN_ROLE = "admin"
"""The role that `mosquitto_ctrl dynsec init` makes for the first admin."""

ACL_TYPES = ("publishClientSend", "publishClientReceive", "subscribePattern", "unsubscribePattern")
_CLIENT_NOT_FOUND = "Client not found"
_ROLE_NOT_FOUND = "Role not found"


class MosquittoTarget:
    """Users of mosquitto's dynamic security: a server's, with a role for the broker's topics, or (`admin`) admins."""

    def __init__(self, broker: Broker, *, admin: bool, deadline: float = DEADLINE_SECONDS) -> None:
        self._broker = broker
        self._admin = admin
        self._deadline = deadline

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the broker accept `credential` with its role. Nothing is changed when it does already."""
        username = credential["username"]
        _refuse_self(admin, username)
        with self._open(admin) as connection:
            security = DynamicSecurity(connection)
            client = security.find("getClient", _CLIENT_NOT_FOUND, username=username)
            known = client is not None and logs_in(self._broker, credential, deadline=self._deadline)
            if new and client is not None and not known:
                raise UserTakenError(f"{connection.address}: there is a user {username} already")
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

    def verify(self, credential: Value) -> None:
        """Prove `credential`: a server's user sends itself a message, an admin lists the roles."""
        if not self._admin:
            prove_access(self._broker, credential, deadline=self._deadline)
            return
        with self._open(credential) as connection:
            DynamicSecurity(connection).run("listRoles")

    def retire(self, admin: Value, username: str) -> None:
        """Give `username` a password that nobody knows, which also ends its sessions. A user that is gone is fine."""
        _refuse_self(admin, username)
        unknown = Value({"username": username, "password": new_password()})
        with self._open(admin) as connection:
            DynamicSecurity(connection).find(
                "setClientPassword", _CLIENT_NOT_FOUND, username=username, password=unknown["password"]
            )

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether the plugin lets each of `usernames`, and no other client, publish where its servers report.

        False where it has another access list than `apply` writes, as before each of them was applied by this release.
        """
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

    def _open(self, who: Value) -> Connection:
        return Connection(self._broker, who, deadline=self._deadline)

    def _server_role(self, security: DynamicSecurity, username: str) -> str:
        """Return the name of the role of a server's user, made if it is missing.

        Named by what it allows: other topics are another role, which each user gets at its own next rotation. Changing
        a role in place would drop everybody who has it. Below REPORTS it may publish its own reports alone.
        """
        allowed = dict.fromkeys((*self._broker.topics, f"{REPORTS}/#", f"{HINTS}/#"))
        acls = [_acl(acl_type, topic, 0, allow=True) for topic in allowed for acl_type in ACL_TYPES]
        acls += [_acl(SEND, f"{REPORTS}/#", 1, allow=False), _acl(SEND, f"{reports_of(username)}/#", 2, allow=True)]
        name = f"coreflux-mcp-{hashlib.sha256(json.dumps(acls, sort_keys=True).encode()).hexdigest()[:8]}"
        if security.find("getRole", _ROLE_NOT_FOUND, rolename=name) is None:
            try:
                security.run("createRole", rolename=name, acls=acls)
            except RefusedError:  # another stack on this broker may have made it meanwhile
                if security.find("getRole", _ROLE_NOT_FOUND, rolename=name) is None:
                    raise
        return name


class DynamicSecurity:
    """The plugin's commands, in an admin's session. One at a time, each waited for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.subscribe(ANSWERS)

    def run(self, command: str, **arguments: object) -> dict[str, Any]:
        """The answer's data. Raises RefusedError with the plugin's reason."""
        answer = self._ask(command, arguments)
        if (error := answer.get("error")) is not None:
            raise self._refused(command, str(error), arguments)
        return dict(answer.get("data") or {})

    def find(self, command: str, missing: str, **arguments: object) -> dict[str, Any] | None:
        """As `run`, but None when the plugin answers that what it is about is `missing`."""
        answer = self._ask(command, arguments)
        match answer.get("error"):
            case None:
                return dict(answer.get("data") or {})
            case error if error == missing:
                return None
            case error:
                raise self._refused(command, str(error), arguments)

    def _ask(self, command: str, arguments: dict[str, object]) -> dict[str, Any]:
        token = secrets.token_hex(8)
        request = {"commands": [{"command": command, "correlationData": token, **arguments}]}

        def mine(message: MQTTMessage) -> dict[str, Any] | None:
            try:
                answers = json.loads(message.payload)["responses"]
                answer = next((dict(each) for each in answers if each.get("correlationData") == token), None)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # not an answer to a command
                return None
            return answer if answer and isinstance(answer.get("data") or {}, dict) else None

        self._connection.publish(COMMANDS, json.dumps(request))
        if (answer := self._connection.receive(mine)) is None:
            # Taken and acknowledged, so reached: under 3.1.1 this is how mosquitto drops what the user may not publish.
            raise RefusedError(
                f"{self._connection.address}: took {command} from {self._connection.username} and did not answer it",
                rule=f"users are set by mosquitto's dynamic security plugin, for those with the role {ADMIN_ROLE}",
                remedy="use an admin's credential, and load mosquitto_dynamic_security.so in the broker",
            )
        return answer

    def _refused(self, command: str, error: str, arguments: dict[str, object]) -> RefusedError:
        about = arguments.get("username") or arguments.get("rolename") or "everything"
        return RefusedError(
            f"{self._connection.address}: refused {command} for {about}: {redact(error)}",
            remedy=f"check what {self._connection.username} may do: mosquitto_ctrl dynsec getClient",
        )


def _acl(acl_type: str, topic: str, priority: int, *, allow: bool) -> dict[str, object]:
    return {"acltype": acl_type, "topic": topic, "priority": priority, "allow": allow}


def _client(data: dict[str, Any]) -> dict[str, Any]:
    """What getClient tells of one, its roles by their names. What reads otherwise is a client without any."""
    found = data.get("client")
    if not isinstance(found, dict):
        return {}
    roles = found.get("roles")
    named = [each.get("rolename") for each in roles if isinstance(each, dict)] if isinstance(roles, list) else []
    return {**found, "roles": named}


def _refuse_self(admin: Value, username: str) -> None:
    if admin["username"] == username:
        raise RefusedError(
            f"{username} would change its own password",
            rule="the plugin ends an admin's session before it answers, so the outcome could not be known",
            remedy="let the other one of the two admins do it",
        )
