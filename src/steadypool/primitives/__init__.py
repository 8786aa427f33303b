"""Floor 3, the machinery: queue, future, context, ledger, agenda. Each keeps one promise and knows no pool."""
