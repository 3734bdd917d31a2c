"""Rules of the platform kubernetes."""
