"""What a pull request would change, as one comment: previews of all stacks, told by names and never by contents.

What writes the comment needs nothing but Python's standard library: its job installs nothing.
"""
