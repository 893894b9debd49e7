"""Probabilistic sparse coding with truncated variational EM, on one core or a thousand MPI ranks."""

__version__ = "0.1.0"
