"""What the forkserver imports last, before it forks the first worker: what workers need. Nothing else imports this.

What is there by then stays for good, so no collection is to look at it, and the pages stay shared with the workers.
"""

from __future__ import annotations

import gc

from steadypool.pools.processes import child

__all__ = ["child"]

gc.collect()
gc.freeze()
