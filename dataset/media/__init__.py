"""Files of images, sound and video."""
