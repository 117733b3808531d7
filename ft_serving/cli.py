"""The `ft-serving` command."""
