"""The process of `secretops`: `python -m secretops`, and the console script.

Nothing is imported before signals are handled: loading the commands takes longer than a Ctrl-C.
"""

import os

from secretops import signals


def main() -> None:
    """Run the command line. Exits with a documented code."""
    signals.install()
    # Nothing here has a plugin for pydantic; to look for one reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from secretops import cli

    cli.main()


if __name__ == "__main__":
    main()
