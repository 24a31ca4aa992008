"""Your own material -> the HDF5 files that the readers read: python -m dataset.prepare COMMAND (--help names them).

What training reads is written as h5py_train_{frames,audios,spects,masks}_<set>.h5, row i of each from one clip.
"""
