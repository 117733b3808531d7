"""Serves the engine through Triton, by the protocol of NVIDIA's fastertransformer_backend."""
