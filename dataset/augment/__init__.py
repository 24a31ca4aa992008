"""The augmentation of training: what is drawn for a view, and how views are made on the CPU and on the device."""
