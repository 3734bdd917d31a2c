"""Rules of the platform aws."""
