"""Asks a Kubernetes cluster about a deployment: its diagnosis, and the gate of its Jobs."""
