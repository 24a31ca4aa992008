"""Files that hold a dataset: HDF5 arrays, caches, stored features, atomic writes, work in several processes."""
