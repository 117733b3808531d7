"""vLLM behind Triton, on a machine with a GPU: `make test-gpu`."""
