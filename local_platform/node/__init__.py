"""The node: one machine's namespaces, and the supervised parts that make a Kubernetes cluster there."""
