"""Outputs with a known text in a preview."""

from __future__ import annotations

import pulumi


def planned(output: pulumi.Output[str], text: pulumi.Input[str]) -> pulumi.Output[str]:
    """Return `output`, or `text` while a preview does not know it.

    Policies can then check a first preview. The result depends on the resource like `output`, and has the provider's
    spelling once deployed.
    """
    return output.apply(lambda found: text if pulumi.contains_unknowns(found) else found, run_with_unknowns=True)
