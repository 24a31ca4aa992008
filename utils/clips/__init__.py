"""Localisation over time in the user's own clips."""
