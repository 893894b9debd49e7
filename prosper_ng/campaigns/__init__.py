"""Many runs from one file: what is to be run, running it, how it stands, what came out."""
