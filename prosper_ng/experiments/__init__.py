"""One run: its configuration, its parts put together, its tasks."""
