"""Timings of this machine, printed and not judged: python -m utils.speed data | train | eval | scale."""
