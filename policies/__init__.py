"""What a stack must hold to, one rule a file: for `pulumi preview --policy-pack policies`, or a preview's JSON."""
