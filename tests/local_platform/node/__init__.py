"""The parts that the node is made of, without a node."""
