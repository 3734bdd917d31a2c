"""Review a pull request's plan in one comment: previews of all stacks, with names but no contents.

The part that writes the comment needs only the standard library.
"""
