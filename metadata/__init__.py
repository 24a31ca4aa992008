"""Id and box lists of the benchmarks: what they are, and how to get them."""
