"""`make live`: proves a stack in the user's own account, on a throwaway copy of it, and removes the copy."""
