"""Floor 5: jobs that survive their process. A durable `Queue` feeds the pools; it is no second pool."""
