"""Tests of ratelimit_service/transport: mirrors the source."""
