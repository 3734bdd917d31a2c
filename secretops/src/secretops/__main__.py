"""`python -m secretops`."""

from secretops.cli import main

main()
