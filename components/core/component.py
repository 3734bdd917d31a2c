"""The base of every component: children carry its name."""

from __future__ import annotations

import pulumi


class Component(pulumi.ComponentResource):
    """A component whose children carry its name, as Pulumi's own components do: "secrets" has "secrets-key".

    Before version 0.2 that child was called "key". With `formerly`, the part of a child's former name that the suffix
    lacks (often ""), each child has its former name as an alias, and an upgrade replaces nothing.
    """

    def __init__(
        self, token: str, name: str, opts: pulumi.ResourceOptions | None = None, *, formerly: str | None = None
    ) -> None:
        def with_former_name(child: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
            if formerly is None or child.opts.parent is not self or not child.name.startswith(f"{name}-"):
                return None
            former = pulumi.Alias(name=f"{formerly}{child.name.removeprefix(f'{name}-')}")
            opts = pulumi.ResourceOptions.merge(child.opts, pulumi.ResourceOptions(aliases=[former]))
            return pulumi.ResourceTransformationResult(child.props, opts)

        own = pulumi.ResourceOptions(transformations=[with_former_name])
        super().__init__(token, name, None, pulumi.ResourceOptions.merge(opts, own))
