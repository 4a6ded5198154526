"""Tests of sluice/commands: mirrors the source."""
