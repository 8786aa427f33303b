"""`ThreadPool` and its workers."""
