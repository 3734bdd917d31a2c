"""Real parts that tests of several folders share."""

pytest_plugins = ["tests.real.mosquitto", "tests.real.embedded"]
