"""The embedded broker of a dev stack: users in a file, Coreflux's documented user commands, loopback only."""

from secretops.broker.process import (
    EmbeddedBrokerError,
    Listener,
    Running,
    is_listening,
    running,
    serve,
    start,
    stop,
    wait_until_free,
)
from secretops.broker.users import create_first_admin

__all__ = [
    "EmbeddedBrokerError",
    "Listener",
    "Running",
    "create_first_admin",
    "is_listening",
    "running",
    "serve",
    "start",
]
__all__ += ["stop", "wait_until_free"]
