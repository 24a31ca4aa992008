"""Timings, not tests: python -m utils.speed COMMAND (--help names them)."""
