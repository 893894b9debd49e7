"""Learning without a run folder: data and settings put together, checked, counted, and trained on."""
