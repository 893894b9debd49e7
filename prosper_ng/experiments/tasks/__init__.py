"""What a learned model is for; each file is one `kind`."""
