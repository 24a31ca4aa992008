"""The demo set: a small synthetic dataset, generated where no other is found."""

from dataset.demo.files import generate

__all__ = ["generate"]
