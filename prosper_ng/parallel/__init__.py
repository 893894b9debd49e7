"""Groups of processes: how rows are shared out, summed over, and how a group starts and fails as one."""
