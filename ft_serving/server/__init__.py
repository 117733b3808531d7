"""Runs Triton on this machine, and the backend that it loads: the engines for CPUs and GPUs."""
