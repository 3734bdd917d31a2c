"""What families of stores share. The store of a platform is in its folder; all have one contract suite."""
