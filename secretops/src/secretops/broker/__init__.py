"""The embedded broker of a dev stack. It listens only on loopback, has its users in a file, and runs the user commands
that Coreflux documents."""
