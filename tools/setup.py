"""Set up this clone: uv, the project's environment, the pinned Pulumi. `python3 tools/setup.py`.

Everything goes into ignored folders of the clone, and built binaries into the user's cache. A second run repeats
nothing. It needs only Python's standard library. Exit codes: 0 ready; 1 a step failed; 2 wrong arguments or a wrong
stack file.
"""

from __future__ import annotations

import argparse
import os
import sys

OLDEST_PYTHON = (3, 11)


def too_old(version: tuple[int, ...]) -> str:
    """Return the error for a Python that is too old, or "". Old versions of Python must be able to parse this
    function."""
    if tuple(version[:2]) >= OLDEST_PYTHON:
        return ""
    return (
        f"set-up failed: this is Python {version[0]}.{version[1]}\n"
        f"the project requires {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer\n"
        "-> install Python 3.11 (Debian, Ubuntu: apt install python3.11-venv), then add PYTHON=python3.11 to the "
        "command"
    )


def main(arguments: list[str]) -> int:
    refusal = too_old(sys.version_info[:2])
    if refusal:
        print(refusal, file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(prog="tools/setup.py", description="Make this clone ready.")
    parser.add_argument("--parts", action="store_true", help="also build what make test-slow requires")
    parser.add_argument("--packages", action="store_true", help="also install the Debian packages that tests require")
    parser.add_argument("--stack", help="also provide Pulumi's provider for this stack")
    parser.add_argument(
        "--deploys", action="store_true", help="fail if only a stand-in provider is available for the stack"
    )
    parser.add_argument("--check", action="store_true", help="check the file of --stack before anything is built")
    wanted = parser.parse_args(arguments)

    import signal

    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    from tools.clone import make_ready
    from tools.parts import install_packages, provide_parts
    from tools.steps import SetupError

    # A terminated set-up cleans up like an interrupted one: it ends its child process and removes incomplete files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        make_ready(wanted.stack, deploys=wanted.deploys, checks=wanted.check)
        if wanted.packages:
            install_packages(must=bool(os.environ.get("CI")))
        if wanted.parts:
            provide_parts(must=bool(os.environ.get("CI")))
    except SetupError as error:
        print(f"set-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
