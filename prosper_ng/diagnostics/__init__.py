"""Whether an installation and a machine can do what runs need."""
