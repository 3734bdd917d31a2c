"""Who may publish below a topic, by the roles of mosquitto's dynamic security plugin.

As the plugin decides (plugins/dynamic-security/README.md): of a role, the entry with the highest priority that matches;
of a client, the roles of its own and of its groups. Roles are not weighed against each other here: who may publish by
any of them counts, so that an answer errs towards too many.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SEND = "publishClientSend"


def publishers(access: Mapping[str, Any], tree: str) -> set[str] | None:
    """Return the users that may publish below `tree`; None when clients without a name may, or by default everybody.

    `access` has the answers' data of listClients, listGroups and listRoles, all verbose, of getDefaultACLAccess and of
    getAnonymousGroup. Raises KeyError, TypeError, AttributeError for what reads otherwise.
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
    """Return whether a role with these entries may publish anywhere below `tree`, which has no wildcard."""
    sending = (entry for entry in entries if entry["acltype"] == SEND)
    for entry in sorted(sending, key=lambda entry: (-entry.get("priority", 0), not entry["allow"])):
        if entry["allow"] and _meets(entry["topic"], tree):
            return True
        if not entry["allow"] and _covers(entry["topic"], tree):
            return False
    return False


def _roles(holder: Mapping[str, Any]) -> set[str]:
    return {role["rolename"] for role in holder.get("roles", ())}


def _levels(topic_filter: str, tree: str) -> Iterator[tuple[str, str | None]]:
    """Each level of the filter with the tree's; with None below the tree."""
    levels = tree.split("/")
    for number, level in enumerate(topic_filter.split("/")):
        yield level, levels[number] if number < len(levels) else None


def _meets(topic_filter: str, tree: str) -> bool:
    """Whether some topic at or below `tree` matches. %c and %u may be any client id and user."""
    for level, of_tree in _levels(topic_filter, tree):
        if level == "#" or of_tree is None:
            return True
        if level not in ("+", of_tree) and "%c" not in level and "%u" not in level:
            return False
    return topic_filter.count("/") >= tree.count("/")


def _covers(topic_filter: str, tree: str) -> bool:
    """Whether every topic at or below `tree` matches."""
    for level, of_tree in _levels(topic_filter, tree):
        if level == "#":
            return True
        if of_tree is None or level not in ("+", of_tree):
            return False
    return False
