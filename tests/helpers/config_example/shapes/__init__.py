"""Shapes to choose from by `kind`."""
