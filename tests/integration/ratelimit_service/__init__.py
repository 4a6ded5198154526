"""The rate limiter as a process of its own, on a real Valkey."""
