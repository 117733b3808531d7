"""What every room stands on: release, storage, hub, families, progress."""
