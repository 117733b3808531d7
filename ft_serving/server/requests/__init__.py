"""Turns the protocol's tensors into checked parameters of rows, for every engine."""
