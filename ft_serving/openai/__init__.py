"""The OpenAI-compatible API in front of a served model."""
