from __future__ import annotations

from collections.abc import Callable

import pulumi
from pulumi.runtime.mocks import MockMonitor


def is_mocked() -> bool:
    """Return whether the program runs in a test with Pulumi's mocks, which deploys nothing."""
    return isinstance(pulumi.runtime.settings.get_monitor(), MockMonitor)


class ComponentError(pulumi.RunError):
    """An argument or provider that a component can't use. As a RunError, it is printed without a traceback.

    `code` identifies the message independently of its text.
    """

    def __init__(self, what: str, rule: str, remedy: str, *, code: str) -> None:
        self.code = code
        super().__init__(f"{what} [{code}]\n    {rule}\n    -> {remedy}")


class Component(pulumi.ComponentResource):
    """A component that prefixes its children's names with its own name: the child "key" of "secrets" is "secrets-key".

    Older versions named this child "key". `formerly` is the former prefix, or a function that returns a child's former
    name from its suffix. Each child gets the former name as an alias, so that an upgrade replaces nothing. With
    `siblings`, the children formerly had the same parent as this component.
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


def planned(output: pulumi.Output[str], text: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return `output`, or `text` in a preview that does not know it.

    Policies can then check a first preview. The result depends on the same resource as `output`, and is the provider's
    text once deployed.
    """
    return output.apply(lambda found: text if pulumi.contains_unknowns(found) else found, run_with_unknowns=True)
