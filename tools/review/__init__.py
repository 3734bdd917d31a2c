"""Reviews a pull request's plan in one comment: previews of all stacks, by names and never by contents.

What writes the comment needs only the standard library.
"""
