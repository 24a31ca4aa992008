"""What a test writes, and how two results are compared."""
