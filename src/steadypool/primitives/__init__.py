"""Floor 3, the primitives: the job queue, the future, the job context, timers, the error ledger. None knows a pool."""
