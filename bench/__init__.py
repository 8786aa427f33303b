"""Steadypool and its peers side by side: ``python -m bench``. See docs/benchmarks.md."""
