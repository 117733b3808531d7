"""What a change of the project would change in its stacks."""
