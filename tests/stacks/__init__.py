"""Tests of the stacks' configuration."""
