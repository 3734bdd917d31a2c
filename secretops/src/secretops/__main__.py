"""The process of `secretops`: `python -m secretops`, and the console script.

Signals are handled before anything else is imported: loading the commands takes longer than a Ctrl-C.
"""

# ruff: noqa: E402

from secretops import signals

signals.install()

import os
import sys


def main() -> None:
    """Run the command line. Exits with a documented code."""
    # Nothing here has a plugin for pydantic; to look for one reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from secretops.errors import UsageError
    from secretops.registry import with_extra

    try:
        with with_extra("cli"):
            from secretops import cli
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    cli.main()


if __name__ == "__main__":
    main()
