"""Where rows come from, and what is done to them before they are learned from."""
