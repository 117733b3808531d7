"""Tests of the code that all rooms share: release, storage, hub, families, progress."""
