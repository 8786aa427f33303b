"""``python -m steadypool.cli``."""

from steadypool.cli import main

main()
