"""Previews the changes that a state of the project makes to its stacks."""
