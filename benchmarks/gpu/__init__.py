"""How fast GPT-J 6B is on this machine's GPUs: vLLM alone, through Triton, and Hugging Face's."""
