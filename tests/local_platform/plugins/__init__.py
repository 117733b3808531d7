"""Tests of the stand-ins for provider plugins."""
