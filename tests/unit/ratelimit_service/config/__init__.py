"""Settings of the rate limiter."""
