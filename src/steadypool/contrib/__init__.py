"""Floor 6, doors to frameworks: each file imports one, and nothing else of Steadypool imports them."""
