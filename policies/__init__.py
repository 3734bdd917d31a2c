"""Rules for stacks, for `pulumi preview --policy-pack policies` or a preview's JSON."""
