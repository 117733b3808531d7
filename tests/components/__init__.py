"""Tests of the components and of the program that they make."""
