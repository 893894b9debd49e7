"""Data in, results out: where rows come from, and the files of a run."""
