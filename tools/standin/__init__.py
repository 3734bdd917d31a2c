"""A stand-in for a cloud's Pulumi provider, for CI and for users without credentials.

Engine, program and SDK are real. It checks inputs against the SDK's types and the cloud's published models, with value,
rule and remedy, and makes up what the cloud computes. It proves that the program runs, that inputs have the right form,
the dependencies, and that a second run changes nothing. It can't prove that a cloud accepts or does anything.
"""
