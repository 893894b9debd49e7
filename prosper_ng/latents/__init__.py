"""Latent spaces, packed state sets, and the truncated posterior over them."""
