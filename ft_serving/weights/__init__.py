"""From a published checkpoint to a verified FasterTransformer model repository."""
