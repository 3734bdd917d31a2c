"""Entry point of `python -m secretops` and of the console script. Installs signal handlers before slow imports."""

# ruff: noqa: E402

from secretops import signals

signals.install()

import os
import sys


def main() -> None:
    # secretops has no pydantic plugins, and the search for them reads the metadata of every installed package.
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
