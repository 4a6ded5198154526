"""Unit tests of the chassis."""
