"""The rotation engine: functions that decide what a secret needs, rotators that do it, and a journal of their steps."""
