"""Floor 7, ``steadypool map``: a function over every line of a file or of standard input."""
