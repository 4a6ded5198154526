"""Tests of sluice/demo: mirrors the source."""
