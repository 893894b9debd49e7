"""Where rows of data come from: one file is one `kind` of source."""
