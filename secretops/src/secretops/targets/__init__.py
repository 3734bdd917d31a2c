"""The systems that accept a credential. One module a target, one Protocol, one contract suite."""
