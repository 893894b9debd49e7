"""Noise that images get, besides Gaussian noise, whose standard deviation is a plain number; one file is one kind."""
