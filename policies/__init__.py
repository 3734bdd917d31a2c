"""Rules that check a stack's plan, in `pulumi preview --policy-pack policies` or from a preview's JSON."""
