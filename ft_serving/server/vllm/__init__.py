"""The engine for GPUs: vLLM, behind the same requests as the engine for CPUs."""
