"""Images restored from groups of their own similar patches, around a first estimate."""
