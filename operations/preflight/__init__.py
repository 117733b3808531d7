"""Checks a cluster before anything is deployed to it, and reports all that it lacks."""
