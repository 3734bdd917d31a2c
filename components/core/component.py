"""The base of every component: children carry its name."""

from __future__ import annotations

from collections.abc import Callable

import pulumi


class Component(pulumi.ComponentResource):
    """A component whose children carry its name, as Pulumi's own components do: "secrets" has "secrets-key".

    Before version 0.2 that child was called "key". With `formerly`, the part of a child's former name that the suffix
    lacks (often ""), each child has its former name as an alias, and an upgrade replaces nothing. A function returns
    the former name of each suffix. `siblings`: those children were siblings of the component, which is newer.
    """

    def __init__(
        self,
        token: str,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        formerly: str | Callable[[str], str] | None = None,
        siblings: bool = False,
    ) -> None:
        above = opts.parent if siblings and opts else None

        def with_former_name(child: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
            if formerly is None or child.opts.parent is not self or not child.name.startswith(f"{name}-"):
                return None
            suffix = child.name.removeprefix(f"{name}-")
            former = formerly(suffix) if callable(formerly) else f"{formerly}{suffix}"
            if former == child.name:
                return None
            alias = pulumi.Alias(former, parent=above) if above else pulumi.Alias(former)
            opts = pulumi.ResourceOptions.merge(child.opts, pulumi.ResourceOptions(aliases=[alias]))
            return pulumi.ResourceTransformationResult(child.props, opts)

        own = pulumi.ResourceOptions(transformations=[with_former_name])
        super().__init__(token, name, None, pulumi.ResourceOptions.merge(opts, own))
