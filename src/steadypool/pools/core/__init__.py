"""What every kind of pool shares: admission, settling, limits, the drain."""
