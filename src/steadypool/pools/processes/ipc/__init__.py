"""What travels between a pool of processes and its workers."""
