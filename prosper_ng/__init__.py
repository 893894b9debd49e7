"""Probabilistic sparse coding with truncated variational EM, on one core or a thousand MPI ranks."""

from prosper_ng.components import plugin

__all__ = ["plugin"]
__version__ = "0.1.0"
