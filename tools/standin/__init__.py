"""A stand-in for a cloud's Pulumi provider, for CI and for users without credentials.

Engine, program and SDK are real. The stand-in checks inputs against the SDK's types and the cloud's published models,
and makes up outputs that the cloud computes. It proves that the program runs, that the form of inputs and the
dependencies are right, and that a second run changes nothing. It can't prove that a cloud accepts anything.
"""
