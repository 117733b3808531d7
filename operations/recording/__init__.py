"""Records the resources of a program, without an engine, credentials or a cluster."""
