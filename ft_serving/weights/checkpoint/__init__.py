"""Readers of published checkpoints: memory-mapped, without torch."""
