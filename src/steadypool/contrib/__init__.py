"""Floor 7, doors to frameworks: each file imports one framework, and no other module of Steadypool imports them."""
