"""Tests of the weights pipeline."""
