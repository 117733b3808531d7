"""Tests of the OpenAI API."""
