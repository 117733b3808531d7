"""What works on the running platform, and that it comes back and goes away as it should."""
