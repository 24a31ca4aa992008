"""How a model's maps are scored."""
