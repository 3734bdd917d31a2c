"""The rotation engine: decisions, rotators that act on them, and a journal of their steps."""
