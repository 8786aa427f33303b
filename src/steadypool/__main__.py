"""``python -m steadypool``: the program, where its script is not on the path."""

from steadypool.cli import main

main()
