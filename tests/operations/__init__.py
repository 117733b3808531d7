"""Tests of the commands that need a stack's configuration."""
