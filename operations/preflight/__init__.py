"""Tells what of a cluster would keep a deployment from succeeding, before anything is made."""
