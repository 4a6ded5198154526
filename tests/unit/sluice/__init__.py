"""Tests of sluice: mirrors the source."""
