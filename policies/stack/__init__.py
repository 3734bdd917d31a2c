"""Rules on a stack as a whole, on any platform."""
