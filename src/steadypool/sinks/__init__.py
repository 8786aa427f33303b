"""Sinks: what makes logs, metrics and traces of a pool's events. One file each, which alone imports its library."""
