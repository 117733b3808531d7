"""Tests of what is put into the cluster."""
