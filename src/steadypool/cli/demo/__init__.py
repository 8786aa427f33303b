"""``steadypool demo``: the pool at work on real input."""
