"""Figures from numbers in hand, in one style; what they are of, a run or a learned model, is not known here."""
