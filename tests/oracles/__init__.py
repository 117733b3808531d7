"""Slow, plain implementations that the product is compared with."""
