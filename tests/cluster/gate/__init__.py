"""The last step of a deployment."""
