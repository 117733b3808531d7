"""A client of the model hub: what a repository holds, and verified downloads of it."""
