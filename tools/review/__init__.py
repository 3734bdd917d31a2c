"""Review a pull request's plan in one comment: previews of all stacks, by names and never by contents.

The part that writes the comment needs only the standard library.
"""
