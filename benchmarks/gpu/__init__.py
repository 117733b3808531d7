"""Measures GPT-J 6B on this machine's GPUs: vLLM alone, through Triton, and Hugging Face's."""
