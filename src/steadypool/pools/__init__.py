"""Floor 4, the pools: three drivers of one contract. Only here do rules meet machinery."""
