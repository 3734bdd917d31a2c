"""Pulumi runs this folder as a policy pack; `python -m policies` judges a preview's JSON."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__:
    from policies.command import main

    sys.exit(main(sys.argv[1:]))
else:
    # Python adds a folder that it runs to sys.path, and not the folder's parent.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from policies.pack import Pack, serve

    serve(Pack())
