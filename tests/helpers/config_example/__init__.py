"""A small configuration of the same build as that of a run: sections, choices by kind, choices within choices."""
