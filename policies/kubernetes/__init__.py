"""Rules for the platform kubernetes."""
