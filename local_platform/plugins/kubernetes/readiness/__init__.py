"""When an object counts as ready: one check for each kind that has more to it than to exist."""
