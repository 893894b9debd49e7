"""What people see of a run: progress, log, summary and pictures."""
