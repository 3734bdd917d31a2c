"""Rules for a stack as a whole, on any platform."""
