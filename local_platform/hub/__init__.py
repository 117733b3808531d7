"""A mirror of the model hub that serves folders."""
