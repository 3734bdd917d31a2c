"""The embedded broker of a dev stack: users in a file, the documented user commands of Coreflux, loopback only."""

from secretops.broker.process import (
    EmbeddedBrokerError,
    Listener,
    Running,
    accepts,
    running,
    serve,
    start,
    stop,
    vacated,
)
from secretops.broker.users import first_admin

__all__ = ["EmbeddedBrokerError", "Listener", "Running", "accepts", "first_admin", "running", "serve", "start"]
__all__ += ["stop", "vacated"]
