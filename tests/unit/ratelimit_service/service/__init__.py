"""Unit tests of ratelimit_service.service."""
