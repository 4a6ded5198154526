"""Tests against real servers: a real Valkey or Redis, real sockets, real signals."""
