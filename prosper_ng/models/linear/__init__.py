"""Private kernels of the models with linear superposition."""
