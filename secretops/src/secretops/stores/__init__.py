"""Where values live. One module a store, one Protocol (`protocol.VersionStore`), one contract suite."""
