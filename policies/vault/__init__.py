"""Rules of the platform vault."""
