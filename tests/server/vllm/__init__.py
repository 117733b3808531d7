"""The engine for GPUs, without one: its text source is scripted here, and real in tests/gpu."""
