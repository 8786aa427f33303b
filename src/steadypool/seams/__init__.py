"""Floor 2, the seams: what the pool asks of the parts that others may bring."""
