"""Floor 4, at the bottom of the pools: what every kind shares. Admission, settling, limits, the drain."""
