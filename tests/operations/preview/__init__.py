"""Tests of `ft-serving preview`."""
