"""The node: namespaces of its own, and the supervised parts that make a cluster there."""
