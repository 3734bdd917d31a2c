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
    try:
        from secretops import cli
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        from secretops.errors import ExitCode
        from secretops.install_hints import how_to_install

        sys.stderr.write(
            f"secretops: {error.name} is not installed\n    the command line comes with an extra\n"
            f"    -> {how_to_install('cli')}\n"
        )
        sys.exit(ExitCode.USAGE)
    cli.main()


if __name__ == "__main__":
    main()
