"""Benchmarks: commands that print figures, never tests that judge them."""
