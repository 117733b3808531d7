"""A client of a Kubernetes cluster: the diagnosis of a deployment, and the gate of its Jobs."""
