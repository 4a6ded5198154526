"""Tests of sluice/mesh: mirrors the source."""
