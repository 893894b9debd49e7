"""Distributions of one observed entry, all of the exponential family; one file is one kind."""
