"""Id and box lists of the benchmarks: where they are, and download.py, which fetches them."""

from pathlib import Path

METADATA = Path(__file__).parent  # where the lists are looked for, after the data folder
