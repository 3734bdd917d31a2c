"""Rules over a stack as a whole, whatever its platform."""
