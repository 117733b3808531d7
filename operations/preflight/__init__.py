"""Checks a cluster before a stack is deployed to it."""
