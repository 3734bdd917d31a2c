"""Rules for the platform vault."""
