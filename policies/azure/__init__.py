"""Rules of the platform azure."""
