"""The rotation engine: pure decisions, rotators that act, and a journal of their steps."""
