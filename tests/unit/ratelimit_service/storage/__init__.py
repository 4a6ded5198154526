"""Tests of ratelimit_service/storage: mirrors the source."""
