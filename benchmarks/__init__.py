"""Measurements, each ``python -m benchmarks.NAME``; ratios come from one run, side by side."""
