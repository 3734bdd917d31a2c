"""The rotation engine: decisions, the classes that act on them (`Rotator`), and a journal of their steps."""
