"""Batch jobs under Slurm: scripts, submission, the queue. Knows nothing of campaigns."""
