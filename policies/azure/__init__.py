"""Rules for the platform azure."""
