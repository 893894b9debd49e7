"""The files of a run: checkpoints, `run.h5`, status, lock; and files of results."""
