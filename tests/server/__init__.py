"""Tests of `ft-serving serve`."""
