"""Timings, not tests: python -m utils.benchmark COMMAND (--help names them)."""
