"""What to do about a secret, and how: decisions are pure, steps act, the journal tells people what was done."""
