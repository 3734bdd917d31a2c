"""What the entries of a stack file's sections may be: each a type, with the rule and the remedy a person is told.

Those that one platform alone knows lie in its folder.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from components.constraints import between, distinct, matching, network, network_of_clients
from components.naming import NAME

Name = Annotated[
    str,
    matching(NAME, "lower-case letters, digits and dashes, at most 40, a letter first and no dash last", "rename it"),
]
Port = Annotated[int, between(1, 65535, "")]
Days = Annotated[int, between(1, 90, "days (Secret Management Guide, Rotation)")]
HOST = r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
Host = Annotated[
    str,
    matching(
        HOST,
        "a host's name or IPv4 address alone: no scheme, port, path or space",
        "write it like mqtt.example.com; the port goes into broker.port",
    ),
]
HostName = Annotated[
    str,
    matching(
        HOST,
        "a host's name or IPv4 address alone, as clients write it: no scheme, port or path",
        "write it like mcp.example.com",
    ),
]
Network = Annotated[str, AfterValidator(network)]
Networks = Annotated[tuple[Network, ...], Field(min_length=1), AfterValidator(distinct)]
ClientNetworks = Annotated[tuple[Annotated[str, AfterValidator(network_of_clients)], ...], AfterValidator(distinct)]
NetworksOrNone = Annotated[tuple[Network, ...], AfterValidator(distinct)]
EVERYWHERE = ("0.0.0.0/0", "::/0")
Folder = Annotated[
    str,
    matching(
        r"[^~\x00-\x1f\x7f][^\x00-\x1f\x7f]*",
        "a path on one line; ~ is not expanded",
        "name a folder, for example .coreflux-mcp (below the project) or /etc/coreflux-mcp",
    ),
]
Image = Annotated[
    str,
    matching(
        r"(?=.*:[\w.-]+$)(?!.*:latest(@|$))([\w.-]+(:\d+)?/)?[a-z0-9._-]+(/[a-z0-9._-]+)*"
        r"(:\w[\w.-]{0,127})?(@sha256:[0-9a-f]{64})?",
        "an image by its tag or digest; latest is another one each day",
        "write it like registry.example.com/coreflux-mcp-secrets:0.1.0",
    ),
]
Caller = Annotated[
    str,
    matching(
        r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "the ARN of a role or a user of AWS, no wildcard, or the object id of a user of Azure",
        "write it like arn:aws:iam::123456789012:role/developer; az ad signed-in-user show tells an object id",
    ),
]
Email = Annotated[str, matching(r"[^\s@]+@[^\s@]+\.[^\s@]+", "an e-mail address", "write it like ops@example.com")]
AgentId = Annotated[
    str,
    matching(
        r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
        "the UUID of a DigitalOcean agent",
        "its page in the control panel shows it, and doctl genai agent list",
    ),
    AfterValidator(str.lower),
]
AgentUrl = Annotated[
    str,
    matching(
        rf"https://{HOST}(:\d{{1,5}})?/?",
        "the agent's endpoint: https, a host, and no path",
        "write it like https://example.agents.do-ai.run, as the control panel shows it",
    ),
]
AbsolutePath = Annotated[
    str, matching(r"/[^\x00-\x1f\x7f]*", "an absolute path on this machine", "write the whole path, from / on")
]
Topic = Annotated[str, matching(r"[^\x00]+", "a topic filter, for example plant/#", "write one, or take the entry out")]
LogLevel = Literal["NONE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
