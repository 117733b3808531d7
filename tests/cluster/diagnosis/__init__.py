"""Diagnoses of deployments that were really broken, on a cluster, in one way each."""
