"""Your own data -> the HDF5 files for training and testing: python -m dataset.prepare COMMAND (see --help).

Training sets are h5py_train_{frames,audios,spects,masks}_<set>.h5, row i of each from one clip.
"""
