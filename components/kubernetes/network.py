"""Where pods may connect to and from. What no policy allows is denied: `default_deny` is for the whole namespace.

Policies only add: none of these can be narrowed by another, so what is allowed here comes from the stack file. A CIDR
never means a pod (some networks keep to that), so what runs in the cluster is named by its namespace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from pulumi_kubernetes import meta, networking

from ..core.broker import BrokerArgs
from .names import DEFAULT_DENY, Place, selector
from .pod_args import NetworkArgs

Egress = networking.v1.NetworkPolicyEgressRuleArgs
Ingress = networking.v1.NetworkPolicyIngressRuleArgs
Peer = networking.v1.NetworkPolicyPeerArgs
Port = networking.v1.NetworkPolicyPortArgs

NOT_PUBLIC = {
    "0.0.0.0/0": ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    "::/0": ("::1/128", "fc00::/7", "fe80::/10"),
}
"""All addresses -> those of them that are no public host's, a cloud's metadata service among them (RFC 6890)."""

_ANY_POD = Peer(namespace_selector=meta.v1.LabelSelectorArgs())


def default_deny(name: str, place: Place) -> networking.v1.NetworkPolicy:
    """Nothing in, nothing out, for every pod of the namespace."""
    return networking.v1.NetworkPolicy(
        name,
        metadata=place.metadata(DEFAULT_DENY),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]
        ),
        opts=place.child,
    )


def allow(
    name: str, program: str, place: Place, *, egress: Sequence[Egress], ingress: Sequence[Ingress] = ()
) -> networking.v1.NetworkPolicy:
    """What the pods of `program` may do all the same."""
    return networking.v1.NetworkPolicy(
        name,
        metadata=place.metadata(program),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=meta.v1.LabelSelectorArgs(match_labels=selector(program)),
            policy_types=["Ingress", "Egress"],
            ingress=list(ingress),
            egress=list(egress),
        ),
        opts=place.child,
    )


def to_dns(args: NetworkArgs) -> Egress:
    """Allow the cluster's DNS: its pods, in any namespace, and the addresses of a node or a cloud that answer."""
    ports = [Port(port=port, protocol=protocol) for port in args.dns_ports for protocol in ("UDP", "TCP")]
    return Egress(to=[_ANY_POD, *_blocks(args.dns_cidrs)], ports=ports)


def to_broker(broker: BrokerArgs, args: NetworkArgs) -> Egress:
    """The broker's port: at its addresses, or in the namespace that its Service's name says."""
    return Egress(to=_at(broker.host, args.broker_cidrs), ports=[Port(port=broker.port, protocol="TCP")])


def to_vault(address: str, args: NetworkArgs) -> Egress:
    """The port of a Vault server, in the same way."""
    at = urlsplit(address)
    return Egress(to=_at(at.hostname or "", args.vault_cidrs), ports=[Port(port=at.port or 443, protocol="TCP")])


def to_api_server(args: NetworkArgs) -> Egress:
    """The Kubernetes API, for who writes Secrets."""
    return Egress(
        to=_blocks(args.api_server_cidrs), ports=[Port(port=port, protocol="TCP") for port in args.api_server_ports]
    )


def to_copilot(args: NetworkArgs) -> list[Egress]:
    """HTTPS for the tool request_lot_code: the Coreflux Copilot has no fixed addresses, so by default to public ones.

    No rule for an empty list: one without peers would allow them all.
    """
    if args.copilot_cidrs is None:
        blocks = [
            Peer(ip_block=networking.v1.IPBlockArgs(cidr=everywhere, except_=list(but)))
            for everywhere, but in NOT_PUBLIC.items()
        ]
    else:
        blocks = _blocks(args.copilot_cidrs)
    return [Egress(to=blocks, ports=[Port(port=443, protocol="TCP")])] if blocks else []


def from_clients(args: NetworkArgs, port: str) -> Ingress:
    """Any pod of the cluster, and who is none: the bearer token decides. Kubelets' probes need no rule."""
    return Ingress(from_=[_ANY_POD, *_blocks(args.client_cidrs)], ports=[Port(port=port, protocol="TCP")])


def _at(host: str, cidrs: Iterable[str]) -> list[Peer]:
    """Peers of a host. A name of two labels may be a Service and its namespace, or outside: both are allowed."""
    inside = re.fullmatch(r"(?:[^.]+\.)+([^.]+)\.svc(\..+)?", host)
    either = re.fullmatch(r"[^.]+\.([^.]*[a-z][^.]*)", host)
    blocks = [] if inside else _blocks(cidrs)
    found = inside or either
    if not found:
        return blocks
    by_name = {"kubernetes.io/metadata.name": found[1]}
    return [*blocks, Peer(namespace_selector=meta.v1.LabelSelectorArgs(match_labels=by_name))]


def _blocks(cidrs: Iterable[str]) -> list[Peer]:
    return [Peer(ip_block=networking.v1.IPBlockArgs(cidr=cidr)) for cidr in cidrs]
