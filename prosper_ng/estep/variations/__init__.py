"""Ways to propose new states; each file is one `kind`."""
