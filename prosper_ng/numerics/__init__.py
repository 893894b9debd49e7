"""Arrays, bits, random streams and linear algebra: what the mathematics stands on."""
