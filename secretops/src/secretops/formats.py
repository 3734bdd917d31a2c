"""Formats of names, hosts, URLs, images, topics and variables in the stack file and the manifest.

Imports only the standard library: the Pulumi program imports this module, and other packages would delay each preview.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from urllib.parse import urlsplit

# Name of a secret or a field, valid in every store, variable and path.
NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"

# Name of a group of a Coreflux broker, without spaces and quotes, at which the broker splits its commands.
GROUP = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"

# Label of a host name (RFC 1123, 2.1). Underscores are valid, too: services of a Docker Swarm may have them.
_LABEL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)

# A name whose last label is a number is an IPv4 address (RFC 1123, 2.1); resolvers accept 0x7f000001, too.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)

# Characters of a name (RFC 1035, 2.3.4).
_LONGEST_NAME = 253


def counted(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def parse_host(text: str) -> str:
    """Return an IP address in its shortest form, or a host name without its trailing dot, because certificates contain
    no such dot.

    An IPv6 address must have no brackets and no zone. Raises ValueError for any other text.
    """
    name = text.removesuffix(".")
    labels = name.split(".")
    is_name = len(name) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])
    if is_name:  # an IPv6 address is no name: no label has a colon
        return name
    address = ipaddress.ip_address(text)
    plain = getattr(address, "ipv4_mapped", None) or address
    reserved = plain.version == 4 and plain.is_reserved  # noqa: PLR2004 - IPv4 only: most of IPv6 is reserved
    if getattr(address, "scope_id", None) or plain.is_unspecified or plain.is_multicast or reserved:
        raise ValueError("not an address of one machine")
    return str(plain)


def is_loopback(host: str) -> bool:
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def url_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


# Characters of a path (RFC 3986, 3.3), without percent-encoding.
_PATH_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/")


def parse_https_url(text: str, *, path: bool = False) -> str:
    """Return an https URL in lower case without a final slash. It must have no user, query, fragment or path.

    With `path`, the URL may have a path and is returned unchanged, because token issuers are compared as text. Raises
    ValueError.
    """
    if not (text.isascii() and text.isprintable()):  # urlsplit drops tabs and newlines
        raise ValueError("not ASCII")
    at = urlsplit(text)
    host = url_host(parse_host(at.hostname or ""))
    port = "" if at.port is None else f":{at.port}"
    if f"https://{url_host(at.hostname or '')}{port}{at.path}".lower() != text.lower() or at.port == 0:
        raise ValueError("the URL has more than https, a host, a port and a path")
    if at.path in ("", "/"):
        return text if path else f"https://{host}{port}"
    if not path or "//" in at.path or not _PATH_CHARACTERS.issuperset(at.path) or {".", ".."} & set(at.path.split("/")):
        raise ValueError("invalid path")
    return text


# Bytes of a topic in UTF-8 (MQTT 5.0, 4.7.3).
_LONGEST_TOPIC = 65535


def is_topic_filter(text: str) -> bool:
    """Return whether `text` is a topic filter (MQTT 5.0, 4.7 and 4.8.2) without control characters (1.5.4)."""
    if not text or any(_may_be_rejected(letter) for letter in text) or len(text.encode()) > _LONGEST_TOPIC:
        return False
    levels = text.split("/")
    if levels[0] == "$share":  # $share/NAME/FILTER
        name, levels = levels[1:2], levels[2:]
        if not levels or levels == [""] or not name or not name[0] or set(name[0]) & set("+#"):
            return False
    return all(level in ("", "+") or not set(level) & set("+#") for level in levels[:-1]) and (
        levels[-1] in ("#", "+") or not set(levels[-1]) & set("+#")
    )


def _may_be_rejected(letter: str) -> bool:
    """Return whether a broker may reject a character: a control character, a surrogate or a non-character."""
    code = ord(letter)
    return unicodedata.category(letter) in ("Cc", "Cs") or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF  # noqa: PLR2004 - Unicode, 23.7


# Grammar of image references (github.com/distribution/reference).
_IMAGE = re.compile(
    r"(?P<path>[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*)*)"
    r"(:(?P<tag>\w[\w.-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)


def image_registry(image: str) -> str | None:
    """Return the registry of an image, or None for Docker Hub."""
    first, slash, _ = image.partition("/")
    return first if slash and (set(first) & set(".:") or first == "localhost") else None


def is_pinned_image(text: str) -> bool:
    """Return whether an image's name is valid and has a digest, or a tag other than latest."""
    registry = image_registry(text)
    found = _IMAGE.fullmatch(text.removeprefix(f"{registry}/") if registry else text)
    if not found or (registry and not _is_authority(registry)):
        return False
    return bool(found["digest"] or found["tag"] not in (None, "latest"))


def _is_authority(text: str) -> bool:
    try:
        return parse_https_url(f"https://{text}") == f"https://{text.lower()}"
    except ValueError:
        return False


# Variables that change how a process loads code, finds and trusts servers, or logs in.
RESERVED_PREFIXES = (
    *("LD_", "DYLD_", "GLIBC_", "MALLOC_", "PYTHON", "BASH_", "NODE_", "PIP_", "UV_", "GIT_", "SSH_", "XDG_", "LC_"),
    *("SSL_", "OPENSSL_", "AWS_", "AZURE_", "VAULT_", "BAO_", "KUBERNETES_", "DOCKER_", "PULUMI_", "GOOGLE_"),
    *("ECS_", "LAMBDA_", "CONTAINER_APP_", "IDENTITY_", "MSI_", "FASTMCP_", "SECRETOPS_"),
)
_RESERVED_NAMES = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "ENV", "IFS", "PS4", "TMPDIR", "LOCPATH", "NLSPATH", "HOSTALIASES"}
    | {"KUBECONFIG", "BASHOPTS", "SHELLOPTS", "PROMPT_COMMAND", "GCONV_PATH", "GETCONF_DIR"}
    | {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "MCP_TRANSPORT", "MCP_LISTEN", "MCP_ALLOWED_HOSTS"}
)


def is_reserved_variable(name: str) -> bool:
    """Return whether the system, an SDK or the launcher reads the environment variable `name`."""
    return name in _RESERVED_NAMES or name.startswith(RESERVED_PREFIXES) or name.endswith("_PROXY")


def field_variable(secret: str, field: str) -> str:
    """Return the environment variable of a declared secret's field: DB_URL for secret db and field url."""
    return f"{secret}_{field}".upper().replace("-", "_")


VERSION_PREFIX = "SECRETOPS_VERSION_"


def version_variable(secret: str) -> str:
    """Return the environment variable that contains the id of a reader's version of `secret`."""
    return f"{VERSION_PREFIX}{secret.upper().replace('-', '_')}"
