"""Runs Triton on this machine, with the engine for CPUs behind it."""
