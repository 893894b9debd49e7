"""What a learned model says of rows."""
