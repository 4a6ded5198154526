"""Tests of ratelimit_service: mirrors the source."""
