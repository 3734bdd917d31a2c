"""What every platform's components share: specs, references, principals, base classes."""
