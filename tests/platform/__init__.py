"""Tests of the running platform: it works, it is mended, and it goes away as it should."""
