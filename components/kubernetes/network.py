"""Network policies. `default_deny` denies all connections that no other policy allows.

A policy that you add can only allow more; set limits in the stack file. Pods are selected by namespace, since with some
network plugins CIDRs do not match pods.
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

# Network of all addresses -> the networks in it that are not public, such as that of a cloud's metadata service
# (RFC 6890).
NOT_PUBLIC = {
    "0.0.0.0/0": ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
    "::/0": ("::1/128", "fc00::/7", "fe80::/10"),
}

_ANY_POD = Peer(namespace_selector=meta.v1.LabelSelectorArgs())


def default_deny(name: str, place: Place) -> networking.v1.NetworkPolicy:
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
    """Allow DNS to all pods and to `dns_cidrs`."""
    ports = [Port(port=port, protocol=protocol) for port in args.dns_ports for protocol in ("UDP", "TCP")]
    return Egress(to=[_ANY_POD, *_blocks(args.dns_cidrs)], ports=ports)


def to_broker(broker: BrokerArgs, args: NetworkArgs) -> Egress:
    return Egress(to=_at(broker.host, args.broker_cidrs), ports=[Port(port=broker.port, protocol="TCP")])


def to_vault(address: str, args: NetworkArgs) -> Egress:
    at = urlsplit(address)
    return Egress(to=_at(at.hostname or "", args.vault_cidrs), ports=[Port(port=at.port or 443, protocol="TCP")])


def to_api_server(args: NetworkArgs) -> Egress:
    return Egress(
        to=_blocks(args.api_server_cidrs), ports=[Port(port=port, protocol="TCP") for port in args.api_server_ports]
    )


def to_copilot(args: NetworkArgs) -> list[Egress]:
    """Allow HTTPS to the Copilot, for the tool request_lot_code. By default all public addresses are allowed, since the
    Copilot has no fixed addresses.

    If `copilot_cidrs` is empty, return no rule, since a rule without peers would allow every address.
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
    """Allow connections from the cluster's pods and from `client_cidrs`. The bearer token authenticates clients. Probes
    need no rule."""
    return Ingress(from_=[_ANY_POD, *_blocks(args.client_cidrs)], ports=[Port(port=port, protocol="TCP")])


def _at(host: str, cidrs: Iterable[str]) -> list[Peer]:
    """Return the peers for a host. A name with two labels may be a Service or a host outside the cluster, so both are
    allowed."""
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
