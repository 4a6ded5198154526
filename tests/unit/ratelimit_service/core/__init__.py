"""Tests of ratelimit_service/core: mirrors the source."""
