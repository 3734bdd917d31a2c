"""Two ways in: Pulumi runs this folder as a policy pack, and `python -m policies` judges a preview's JSON."""

from __future__ import annotations

import sys
from pathlib import Path

if __package__:
    from policies.command import main

    sys.exit(main(sys.argv[1:]))
else:
    # A folder that is run has its own files in reach, and not itself.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    from policies.pack import Pack, serve

    serve(Pack())
