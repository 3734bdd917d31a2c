"""What the entries of Docker Swarm's sections may be, in a stack file."""

from __future__ import annotations

from typing import Annotated

from ..settings.constraints import matching

SwarmNetwork = Annotated[
    str,
    matching(
        r"[a-z0-9]{25}",
        "the id of an overlay network of the Swarm; by its name the provider would make the service anew",
        "docker network inspect --format '{{.Id}}' NAME shows it",
        is_id=True,
    ),
]
SwarmSecret = Annotated[
    str,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?",
        "the name of a secret of the Swarm that an operator made",
        "docker secret ls lists them",
    ),
]
_LABELS = r"(node|engine)\.labels\.[\w.-]+"
Constraint = Annotated[
    str,
    matching(
        rf"(node\.(id|hostname|ip|role|platform\.(os|arch))|{_LABELS}) ?[!=]= ?[\w.:/-]+",
        "a placement constraint as docker service create takes it",
        "write it like node.labels.zone==a",
        is_id=True,
    ),
]
Spread = Annotated[
    str, matching(_LABELS, "a label of nodes that replicas are spread over", "write it like node.labels.zone")
]
