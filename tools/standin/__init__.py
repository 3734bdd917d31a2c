"""A stand-in for a cloud's Pulumi provider, for CI and for users without credentials.

Engine, program and SDK are real. It checks inputs against the SDK's types and the cloud's published models, and makes
up what the cloud computes. It proves that the program runs, the form of inputs, the dependencies, and that a second run
changes nothing. It can't prove that a cloud accepts anything.
"""
