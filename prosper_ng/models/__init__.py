"""Generative models; each file is one `kind`."""
