"""The embedded broker of a dev stack: users in a file, Coreflux's documented user commands, loopback only."""
