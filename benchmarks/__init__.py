"""Measurements, each of which prints ratios between things measured side by side in one run."""
