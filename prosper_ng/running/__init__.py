"""Learning as a whole, from configuration or rows to results, pictures and log: what the command and Python share."""
