"""A client of the model hub, with verified downloads."""
