"""How the state sets K_n are chosen; each file is one `kind`."""
