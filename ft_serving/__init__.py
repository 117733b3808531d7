"""GPT-J on Triton with FasterTransformer: weights, model configuration, engine and client."""

__version__ = "0.1.0"
