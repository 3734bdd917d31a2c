"""The operations on a stack's secrets for an operator or a schedule: one module per command."""
