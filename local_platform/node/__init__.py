"""The node: its namespaces, and the supervised parts that make a cluster in them."""
