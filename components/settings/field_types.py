"""Types of a stack file's entries, each with its rule and remedy. A platform's own types are in its folder."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from secretops.formats import GROUP, NAME, is_pinned_image, is_topic_filter, parse_host, parse_https_url

from .constraints import (
    GUID,
    HOST,
    NETWORK,
    URL,
    between,
    distinct,
    is_one_line,
    matching,
    network_meant,
    parse_guid,
    parse_network,
    parse_network_of_clients,
    parsed,
    satisfying,
    whole,
)
from .outputs import MayBeOutput

Name = Annotated[
    str,
    matching(
        NAME,
        "1 to 40 lower-case letters, digits and dashes, with a letter first and no dash last",
        "for example db-password",
    ),
]
Port = Annotated[int, between(1, 65535, "")]
Ports = Annotated[tuple[Port, ...], Field(min_length=1), AfterValidator(distinct)]
Days = Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")]


def _host_meant(text: str) -> str | None:
    try:
        name = parse_host(text[1:-1] if text.startswith("[") else text.encode("idna").decode())
    except ValueError:  # UnicodeError is a ValueError
        return None
    return f"write {name}" if "." in name or ":" in name else None


Host = Annotated[
    str,
    parsed(
        parse_host,
        "a host's name (RFC 1123) or IP address alone: no scheme, port, path or space",
        "for example mqtt.example.com; write the port in broker.port",
        meant=_host_meant,
        is_host=True,
        keywords=whole(HOST),
    ),
]
HostName = Annotated[
    str,
    parsed(
        parse_host,
        "a host's name (RFC 1123) or IP address alone, as clients write it: no scheme, port or path",
        "for example mcp.example.com",
        meant=_host_meant,
        is_host=True,
        keywords=whole(HOST),
    ),
]
Network = Annotated[
    str,
    parsed(
        parse_network,
        "a network in CIDR notation with zero host bits",
        "for example 10.20.0.0/16",
        meant=network_meant,
        is_host=True,
        keywords=whole(NETWORK),
    ),
]
Networks = Annotated[tuple[Network, ...], Field(min_length=1), AfterValidator(distinct)]
ClientNetwork = Annotated[
    str,
    parsed(
        parse_network_of_clients,
        "a network in CIDR notation with zero host bits, no larger than /8 (IPv6: /16, except within fc00::/7)",
        "for example 10.20.0.0/16",
        is_host=True,
        keywords=whole(NETWORK),
    ),
]
ClientNetworks = Annotated[tuple[ClientNetwork, ...], AfterValidator(distinct)]
NetworksOrNone = Annotated[tuple[Network, ...], AfterValidator(distinct)]


# Patterns in the JSON Schema for text that a function checks, like constraints.HOST. They match all paths with .. that
# may be valid.
_FOLDER = (
    r"(?=.*\.\.)(?!(\.{1,2}/?)+$)[^~].*"
    r"|(?!~)(?!/+[^/]*/*$)(?!/+(proc|sys)/)(?!(.*/)?\.[gG][iI][tT](/|$))(?!(\./?)+$)\S(.*\S)?"
)
_IMAGE = r"(?!.*:latest$)([^\s@]+:[A-Za-z0-9_][\w.-]{0,127}(@sha256:[0-9a-f]{64})?|[^\s@]+@sha256:[0-9a-f]{64})"
_EMAIL = r"[^@\s]+@[\w-]+(\.[\w-]+)+"
_TOPIC = r"(?!.*[^/]#)(?!.*#.)(?!.*[^/]\+)(?!.*\+[^/])(?!\$share/[^/]*/?$)(?!\$share//).+"


def is_own_folder(text: str) -> bool:
    """Return whether `text` names a folder that can belong to a store alone: not the project's, the system's or
    git's."""
    parts = [part for part in posixpath.normpath(text).split("/") if part not in ("", ".")]
    if not is_one_line(text) or text.startswith("~") or not set(parts) - {".."}:
        return False
    if text.startswith("/") and (len(parts) == 1 or parts[0] in ("proc", "sys")):
        return False
    return ".git" not in map(str.casefold, parts)


Folder = Annotated[
    str,
    satisfying(
        is_own_folder,
        "a folder for this stack alone: not the project folder, not in .git, /proc or /sys, and not a top-level "
        "folder; ~ is not expanded",
        "for example .coreflux-mcp (below the project) or /etc/coreflux-mcp",
        keywords=whole(_FOLDER),
    ),
]
PinnedImage = Annotated[
    str,
    satisfying(
        is_pinned_image,
        "an image with a tag other than latest, or with a digest",
        "for example registry.example.com/coreflux-mcp-secrets:0.1.0",
        keywords=whole(_IMAGE),
    ),
]
Image = Annotated[PinnedImage, MayBeOutput()]


def _parse_caller(text: str) -> str:
    arn = re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+", text, re.ASCII)
    return text if arn else parse_guid(text)


Caller = Annotated[
    str,
    parsed(
        _parse_caller,
        "the ARN of an AWS role or user, without a wildcard, or the object id of an Azure user",
        "for example arn:aws:iam::123456789012:role/developer; az ad signed-in-user show --query id prints yours",
        is_id=True,
        keywords=whole(rf"arn:aws.*|{GUID}"),
    ),
]


def is_email(text: str) -> bool:
    """Return whether `text` is one email address in ASCII: SNS and Azure Monitor accept no other."""
    from email.errors import MessageError
    from email.headerregistry import Address

    try:
        found = Address(addr_spec=text)
        host = parse_host(found.domain)
    except (MessageError, ValueError, IndexError):
        return False
    return text.isascii() and text == f"{found.username}@{host}" and "." in host and not host[-1].isdigit()


Email = Annotated[
    str, satisfying(is_email, "one e-mail address in ASCII", "for example ops@example.com", keywords=whole(_EMAIL))
]
AgentId = Annotated[
    str,
    parsed(
        parse_guid,
        "the UUID of a DigitalOcean agent",
        "doctl genai agent list and the agent's page in the control panel show the UUID",
        is_id=True,
        keywords=whole(GUID),
    ),
]
AgentUrl = Annotated[
    str,
    parsed(
        parse_https_url,
        "the agent's endpoint: https and a host, without a path",
        "for example https://example.agents.do-ai.run, as the control panel shows it",
        is_host=True,
        keywords=whole(URL),
    ),
]


def parse_absolute_path(text: str) -> str:
    """Return an absolute path without `..` and doubled slashes. Raises ValueError."""
    path = f"/{posixpath.normpath(text).lstrip('/')}"
    if not is_one_line(text) or not text.startswith("/") or path == "/":
        raise ValueError
    return path


AbsolutePath = Annotated[
    str,
    parsed(
        parse_absolute_path,
        "an absolute path, other than / itself",
        "write the whole path, beginning with /",
        keywords=whole("/.+"),
    ),
]
Topic = Annotated[
    str,
    satisfying(
        is_topic_filter,
        "an MQTT topic filter on one line: # is only allowed alone at the end, + only alone between slashes",
        "for example plant/+/state or plant/#, or remove the entry",
        keywords=whole(_TOPIC),
    ),
]
Group = Annotated[
    str,
    matching(
        GROUP,
        "a group of the broker: letters, digits, dots, dashes and underscores, at most 64, no dash first",
        "write the group's name as in the broker's rules",
    ),
]
TagValue = Annotated[
    str,
    matching(
        r"[\w .:/=+@-]{0,256}",
        "a value of a tag: at most 256 letters, digits, spaces, and . : / = + @ - _, in quotes if it is a number",
        "for example team-a",
    ),
]
LogLevel = Literal["NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
