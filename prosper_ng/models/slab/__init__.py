"""Private kernels of spike-and-slab models."""
