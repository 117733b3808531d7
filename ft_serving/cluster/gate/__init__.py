"""The last step of a deployment: wait until it is ready, ask it, and compare the answer."""
