"""The process of `secretops`: `python -m secretops`, and the console script.

Nothing is imported before signals are handled: loading the commands takes longer than a Ctrl-C.
"""

from secretops import signals


def main() -> None:
    """Run the command line. Exits with a documented code."""
    signals.install()
    from secretops import cli

    cli.main()


if __name__ == "__main__":
    main()
