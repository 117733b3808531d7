"""Language models on Triton, by FasterTransformer's protocol: weights, engines and client."""

__version__ = "0.1.0"
