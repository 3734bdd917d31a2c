"""Texts that the program determines, where a provider knows its outputs only after it has made the resource."""

from __future__ import annotations

import pulumi


def planned(output: pulumi.Output[str], text: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return `output`, or `text` while a preview does not know it.

    Policies can then judge a first preview. The result depends on the resource as `output` does, and is the provider's
    own spelling once that exists: a deployed stack has no change.
    """
    return output.apply(lambda found: text if pulumi.contains_unknowns(found) else found, run_with_unknowns=True)
