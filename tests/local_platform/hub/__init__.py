"""Tests of the hub mirror."""
