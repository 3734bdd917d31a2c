"""What an operator or a schedule does to a stack's secrets. One module a command; `cli` only parses and prints."""
