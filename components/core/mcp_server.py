from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from secretops.manifest import Secret

from .broker import BrokerArgs
from .component import Component
from .naming import stack_name
from .secrets import for_server, guide_secrets


@dataclass(frozen=True, kw_only=True)
class McpServerArgs:
    broker: BrokerArgs
    secrets: Sequence[Secret] | None = None
    """The stack's secrets; by default those of the Secret Management Guide."""
    stack: str | None = None
    """Stack name within resource names; by default Pulumi's."""
    log_level: str = "WARNING"
    agent_url: str | None = None
    """URL of an agent other than the Coreflux Copilot."""

    @property
    def stack_name(self) -> str:
        return stack_name(self.stack)

    @property
    def read_secrets(self) -> tuple[Secret, ...]:
        every = guide_secrets(self.stack_name) if self.secrets is None else self.secrets
        return for_server(every)

    def public_variables(self, *, ca_file: str | None = None) -> dict[str, str]:
        return self.broker.public_variables(log_level=self.log_level, agent_url=self.agent_url, ca_file=ca_file)


class McpServer(Component):
    endpoint: pulumi.Input[str]
    """URL for MCP clients or, for a local server, path of config/mcp.json."""
