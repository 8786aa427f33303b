"""``python -m steadypool.cli``."""

from steadypool.cli.app import main

main()
