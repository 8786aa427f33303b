"""Floor 4, the pools: threads, processes and asyncio under one contract. Only here do rules meet primitives."""
