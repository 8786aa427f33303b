"""Floor 7, ``steadypool top``: a live view of the pools of a running program."""
